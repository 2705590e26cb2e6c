"""Weights laid out in the blocks in which a processor's products read them.

A product of many states with a weight first copies the weight into blocks, and the copying is small beside the rest.
With the few states of writing, one for each answer, it is not: laid out once, the embedded model's products take half
the time for 4 answers at once and four fifths for 64 (docs/lab-notes.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lapd.packed.forward import REFUSALS

TOLERANCE = 1e-3
"""Largest difference of a logit that counts as the same: sums in another order, in float32."""

TOKENS = (5, 6, 7)
"""What a model is tried on."""


@contextmanager
def blocked_weights(causal: Any) -> Iterator[bool]:
    """Meanwhile the float32 weights of a model's linear layers on a processor are in blocks; then they are as before.

    They are there once only, but for those that another module has too, such as an output embedding that is the input
    embedding. Who reads a layer's weight past the layer finds it empty: a model that does, or that answers
    otherwise, is left as it is, which is found by trying.

    Args:
        causal: a causal language model of transformers.

    Yields:
        Whether they are.
    """
    layers = _blockable(causal)
    if not layers:
        yield False
        return
    usual = _logits(causal)
    blocked = _Blocked(causal)
    try:
        taken = blocked.lay_out(layers) and _agree(_logits(causal), usual)
        if not taken:
            blocked.undo()
        yield taken
    finally:
        blocked.undo()


def _blockable(causal: Any) -> list[nn.Linear]:
    if not torch.backends.mkldnn.is_available():
        return []
    return [
        module
        for module in causal.modules()
        if type(module) is nn.Linear
        and "forward" not in vars(module)
        and module.weight.device.type == "cpu"
        and module.weight.dtype == torch.float32
    ]


class _Blocked:
    """The linear layers of a model of which the weights are in blocks."""

    def __init__(self, causal: Any) -> None:
        owners = Counter(id(weight) for _, weight in causal.named_parameters(remove_duplicate=False))
        self._shared = {owner for owner, times in owners.items() if times > 1}
        self._weights: list[tuple[nn.Linear, torch.Tensor]] = []

    def lay_out(self, layers: list[nn.Linear]) -> bool:
        """Put the layers' weights into blocks; whether that could be done."""
        try:
            with torch.inference_mode(False), torch.no_grad():
                for layer in layers:
                    # As torch.compile's own products have them; torch.utils.mkldnn's are laid out anew each time.
                    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
                    self._weights.append((layer, weight))
                    if id(layer.weight) not in self._shared:
                        layer.weight.data = layer.weight.new_empty(0)
                    layer.forward = _product(weight, layer.bias)
        except REFUSALS:
            return False
        return True

    def undo(self) -> None:
        """Give the layers their weights back, bit for bit."""
        with torch.inference_mode(False), torch.no_grad():
            while self._weights:
                layer, weight = self._weights.pop()
                vars(layer).pop("forward", None)
                if id(layer.weight) not in self._shared:
                    layer.weight.data = weight.to_dense()


def _product(weight: torch.Tensor, bias: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(states: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
        return product

    return forward


@torch.inference_mode()  # type: ignore[untyped-decorator]
def _logits(causal: Any) -> torch.Tensor | None:
    """What it says behind a few tokens; None where it refuses."""
    try:
        logits: torch.Tensor = causal(input_ids=torch.tensor([TOKENS]), use_cache=False).logits.float()
    except REFUSALS:
        return None
    return logits


def _agree(ours: torch.Tensor | None, usual: torch.Tensor | None) -> bool:
    return ours is not None and usual is not None and bool((ours - usual).abs().max() <= TOLERANCE)
