"""Before anything is measured: does each adapter change the answers, and does switching it off bring the base back?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch

from lapd.adapters.adapter import Adapter
from lapd.adapters.kinds import named_tokens
from lapd.adapters.switching import prepared, switch_adapter
from lapd.answering.numbers import no_numbers
from lapd.errors import ModelError
from lapd.models.loading import embeddings

PROBE = range(5, 17)
"""Token ids; what they say does not matter."""


def check_adapters(model: Any, adapters: Sequence[Adapter], fold: bool = False) -> Any:
    """Switch every adapter on and off once over a few tokens.

    An adapter whose update is nothing but zeros is one that was not trained: it is warned of, not refused.

    Args:
        model: bare, so that it is the base that the base is held against, and not what loading an adapter makes of it.
        adapters: may be empty.
        fold: as they will be switched on.

    Returns:
        The model with the adapters loaded, the last ones where they are too many, and all switched off.

    Raises:
        ModelError: the base gives no numbers; or an adapter cannot be loaded, changes nothing, gives no numbers, or
            leaves a trace in the base.
    """
    if not adapters:
        return model
    # An adapter that is about certain tokens only, or waits for them, would change nothing without them.
    probe = [*PROBE, *(token for adapter in adapters for token in named_tokens(adapter))]
    switch_adapter(model, None)
    base = check_finite(model, f"The base model {model.name_or_path}", probe)
    for adapter in adapters:
        model = prepared(model, adapter)
        switch_adapter(model, adapter, fold)
        adapted, active = _logits(model, probe), set(model.active_adapters if hasattr(model, "peft_config") else ())
        switch_adapter(model, None)
        if not torch.equal(_logits(model, probe), base):
            hint = "Without it, the base's own results would not be the base's."
            raise ModelError(f"Switching adapter {adapter.name} off does not bring the base's logits back.", hint)
        if not bool(adapted.isfinite().all()):
            raise ModelError(f"Adapter {adapter.name} gives logits that are no numbers.", "Was its training cut off?")
        if torch.equal(adapted, base):
            _explain_no_effect(model, adapter, active)
    return model


def check_finite(model: Any, called: str, probe: Sequence[int] = PROBE) -> torch.Tensor:
    """The logits over a few tokens; refuses a model that gives no numbers.

    Raises:
        ModelError: it does not; the message calls it `called`.
    """
    logits = _logits(model, probe)
    if not bool(logits.isfinite().all()):
        raise no_numbers(called, "logits", model.dtype)
    return logits


def check_whole(model: Any, name: str, base: torch.Tensor) -> None:
    """Refuse a whole model that gives no numbers, or the base's own.

    Args:
        model: the whole model.
        name: of its arm.
        base: what `check_finite` gave for the base.

    Raises:
        ModelError: it is one.
    """
    logits = check_finite(model, f"The model {name}")
    if logits.shape == base.shape and torch.equal(logits.cpu(), base.cpu()):
        hint = "Were its weights saved before training, or is it lost in this precision (--dtype float32)?"
        raise ModelError(f"The model {name} gives the base's own logits.", hint)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _logits(model: Any, probe: Sequence[int]) -> torch.Tensor:
    device = next(model.parameters()).device
    known = embeddings(model)
    ids = torch.tensor([[token for token in probe if token < known]], device=device)
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    return logits


def _explain_no_effect(model: Any, adapter: Adapter, active: set[str]) -> None:
    """Warn of an adapter that changes nothing because it was never trained; refuse any other."""
    updates = [p for name, p in model.named_parameters() if "lora_B" in name and active & set(name.split("."))]
    if updates and not any(bool(p.any()) for p in updates):
        print(f"Warning: adapter {adapter.name} is untrained: its update is all zeros.", file=sys.stderr)
        return
    hint = "Its weights do not reach this model's layers, or are lost in this precision: try --dtype float32."
    raise ModelError(f"Adapter {adapter.name} does not change the model's logits.", hint)
