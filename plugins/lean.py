"""The same numbers with fewer tensors: what layers of a training keep and copy without need.

On a processor, reading and writing a state costs nearly as much as LoRA's products with it, and what the backward pass
keeps decides how many rows fit. All of this gives the same bits as the libraries' own way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def make_lean(model: Any, dtype: torch.dtype, anew: bool = True) -> None:
    """Replace the way of LoRA's layers, and of gated ones, by one with fewer tensors.

    Args:
        model: a PEFT model on a processor.
        dtype: what is trained in. With bfloat16, frozen weights that lose nothing by it are cast to it once, not at
            every use; `undo_lean` casts them back.
        anew: whether the backward pass computes the states between the two halves of a gated layer again. Where
            checkpointing does that with the whole layer, it would keep what they are computed from instead.
    """
    from peft.tuners.lora.layer import Linear

    for module in model.modules():
        if isinstance(module, Linear) and _is_plain(module):
            weight = module.base_layer.weight
            if dtype == torch.bfloat16 and torch.equal(weight.data.to(dtype).to(weight.dtype), weight.data):
                weight.data = weight.data.to(dtype)
            module.forward = _lora_forward(module)
    for module in model.modules():
        if _is_gated(module):
            module.forward = _gated_forward(module, anew)


def undo_lean(model: Any) -> None:
    """Give the layers back their own way, and float32 weights."""
    for module in model.modules():
        if getattr(vars(module).get("forward"), "is_lean", False):
            del module.forward
            if hasattr(module, "base_layer"):
                module.base_layer.weight.data = module.base_layer.weight.data.float()


def _is_plain(layer: Any) -> bool:
    """Whether it is LoRA and nothing more, on a linear layer in float32."""
    (name, *others) = layer.active_adapters
    return (
        not others
        and type(layer.base_layer) is nn.Linear
        and layer.base_layer.weight.dtype == torch.float32
        and not (layer.merged or layer.lora_variant)
        and isinstance(layer.lora_dropout[name], nn.Identity)
    )


def _lora_forward(layer: Any) -> Callable[..., torch.Tensor]:
    (name,) = layer.active_adapters
    frozen, down, up, scale = layer.base_layer, layer.lora_A[name], layer.lora_B[name], layer.scaling[name]

    def forward(states: torch.Tensor) -> torch.Tensor:
        weight = frozen.weight
        if weight.dtype != states.dtype and not torch.is_autocast_enabled(states.device.type):
            weight = weight.to(states.dtype)  # what is scored is scored in float32
        out = functional.linear(states, weight, frozen.bias)
        if layer.disable_adapters:
            return out
        more: torch.Tensor = up(down(states))
        return out.add_(more if scale == 1 else more * scale)

    forward.is_lean = True  # type: ignore[attr-defined]
    return forward


def _is_gated(module: Any) -> bool:
    """Whether it is a gated layer as Llama's, found by trying: it gives the same bits as ours."""
    parts = ("gate_proj", "up_proj", "down_proj", "act_fn")
    if not all(isinstance(getattr(module, part, None), nn.Module) for part in parts):
        return False
    gate = getattr(module.gate_proj, "base_layer", module.gate_proj)
    states = torch.linspace(-1, 1, 3 * gate.in_features).view(1, 3, -1)
    with torch.no_grad():
        try:
            return torch.equal(module(states), _gated_forward(module)(states))
        except (RuntimeError, TypeError, AttributeError):
            return False


def _gated_forward(module: Any, anew: bool = False) -> Callable[..., torch.Tensor]:
    def forward(states: torch.Tensor) -> torch.Tensor:
        gate, up = module.gate_proj(states), module.up_proj(states)
        gated = _Gated.apply(gate, up)
        with _computed_anew(gated, lambda: functional.silu(gate).mul_(up)) if anew else nullcontext():
            return module.down_proj(gated)  # type: ignore[no-any-return]

    forward.is_lean = True  # type: ignore[attr-defined]
    return forward


class _Gated(torch.autograd.Function):
    """silu(gate) * up, which keeps these two and computes silu(gate) anew in the backward pass."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), grad * functional.silu(gate)


@contextmanager
def _computed_anew(states: torch.Tensor, compute: Callable[[], torch.Tensor]) -> Iterator[None]:
    """What the backward pass keeps meanwhile, but for `states`: they are computed again when they are asked for."""
    place, size = states.data_ptr(), states.numel()

    def keep(tensor: torch.Tensor) -> torch.Tensor | torch.Size:
        return tensor.shape if (tensor.data_ptr(), tensor.numel()) == (place, size) else tensor

    def give(kept: torch.Tensor | torch.Size) -> torch.Tensor:
        return compute().view(kept) if isinstance(kept, torch.Size) else kept

    with torch.autograd.graph.saved_tensors_hooks(keep, give):
        yield
