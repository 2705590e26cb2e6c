"""Before anything is measured: does each adapter change the answers, and does switching it off bring the base back?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch

from lapd.errors import ModelError
from lapd.models.adapters import Adapter
from lapd.models.switching import switch_adapter

PROBE = range(5, 17)
"""Token ids; what they say does not matter."""


def check_adapters(model: Any, adapters: Sequence[Adapter], fold: bool = False) -> None:
    """Switch every adapter on and off once over a few tokens; all are off afterwards.

    An adapter whose update is nothing but zeros is one that was not trained: it is warned of, not refused.

    Args:
        model: from `load_adapters`.
        adapters: may be empty.
        fold: as they will be switched on.

    Raises:
        ModelError: an adapter changes nothing, gives no numbers, or leaves a trace in the base.
    """
    if not adapters:
        return
    switch_adapter(model, None)
    base = _logits(model)
    for adapter in adapters:
        switch_adapter(model, adapter, fold)
        adapted, active = _logits(model), set(model.active_adapters)
        switch_adapter(model, None)
        if not torch.equal(_logits(model), base):
            hint = "Without it, the base's own results would not be the base's."
            raise ModelError(f"Switching adapter {adapter.name} off does not bring the base's logits back.", hint)
        if not bool(adapted.isfinite().all()):
            raise ModelError(f"Adapter {adapter.name} gives logits that are no numbers.", "Was its training cut off?")
        if torch.equal(adapted, base):
            _explain_no_effect(model, adapter, active)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _logits(model: Any) -> torch.Tensor:
    device = next(model.parameters()).device
    logits: torch.Tensor = model(input_ids=torch.tensor([list(PROBE)], device=device), use_cache=False).logits
    return logits


def _explain_no_effect(model: Any, adapter: Adapter, active: set[str]) -> None:
    """Warn of an adapter that changes nothing because it was never trained; refuse any other."""
    updates = [p for name, p in model.named_parameters() if "lora_B" in name and active & set(name.split("."))]
    if updates and not any(bool(p.any()) for p in updates):
        print(f"Warning: adapter {adapter.name} is untrained: its update is all zeros.", file=sys.stderr)
        return
    hint = "Its weights do not reach this model's layers, or are lost in this precision: try --dtype float32."
    raise ModelError(f"Adapter {adapter.name} does not change the model's logits.", hint)
