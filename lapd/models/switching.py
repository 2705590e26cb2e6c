"""Adapters on a live model: loading them beside it, and switching between them.

However many there are, few are held at once: each takes memory, and is read again in half a second when it is wanted.
One that is switched on may be folded into the weights, so that a forward pass costs what the base's does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lapd.errors import ModelError, first_line
from lapd.models.adapters import Adapter, lora_config

RESIDENT = 4
"""So many adapters stay loaded: an experiment's usual few are never read twice, and sixteen cost no more than these."""


def load_adapters(model: Any, adapters: Sequence[Adapter]) -> Any:
    """The model with every adapter loaded beside it, the first switched on; the bare model if there is none.

    An adapter at several strengths is loaded once.

    Raises:
        ModelError: an adapter's shape does not fit the model.
    """
    if not adapters:
        return model
    from peft import PeftModel

    first, *others = {peft_name(adapter): adapter.path for adapter in adapters}.items()
    with _fitting():
        model = PeftModel.from_pretrained(model, first[1], adapter_name=first[0])
        for name, path in others:
            model.load_adapter(path, adapter_name=name)
    switch_adapter(model, adapters[0])
    return model.eval()


def peft_name(adapter: Adapter) -> str:
    """What a loaded adapter is called inside PEFT, at whatever strength."""
    return f"{adapter.name}@{adapter.digest[:12]}".replace(".", "_")  # PEFT takes a dot for a path of modules


def switch_adapter(model: Any, adapter: Adapter | None, fold: bool = False) -> None:
    """Switch an adapter on, at its strength, or all of them off.

    Args:
        model: from `load_adapters`.
        adapter: one that is not loaded takes the place of the oldest, where there are `RESIDENT` already.
        fold: put it into the weights for as long as it is on, if `can_fold` says that this can be done. The base's own
            weights are kept beside, and come back bit for bit.

    Raises:
        ModelError: its shape does not fit the model.
    """
    _unfold(_lora_layers(model))
    if adapter is None:
        model.base_model.disable_adapter_layers()
        return
    name = peft_name(adapter)
    is_new = name not in model.peft_config
    if is_new:
        with _fitting():
            model.load_adapter(adapter.path, adapter_name=name)
    model.base_model.enable_adapter_layers()
    model.set_adapter(name)
    for oldest in list(model.peft_config)[:-RESIDENT] if is_new else ():
        model.delete_adapter(oldest)
    for layer in _lora_layers(model):
        # Set from alpha / r each time, never multiplied: no order of switching may leave a trace.
        layer.set_scale(name, adapter.strength)
    if fold and can_fold(model, adapter):
        _fold(_lora_layers(model), name)
        model.base_model.disable_adapter_layers()


def can_fold(model: Any, adapter: Adapter) -> bool:
    """Whether an adapter's update can be added to the weights without harm.

    That is a plain LoRA adapter of linear layers in float32 on a CPU. In bfloat16 the sum would be rounded to the
    weights' grid, which hides much of what a small adapter learned; on a GPU the memory for it is dearer than the time.
    """
    from torch import float32, nn

    try:
        lora_config(adapter)
    except ModelError:
        return False
    name = peft_name(adapter)
    embeddings = model.get_input_embeddings().weight  # where the output shares them, a sum would change the input too
    return all(
        isinstance(layer.base_layer, nn.Linear)
        and layer.base_layer.weight.dtype == float32
        and layer.base_layer.weight.device.type == "cpu"
        and layer.base_layer.weight is not embeddings
        for layer in _lora_layers(model)
        if name in layer.scaling  # layers of every kind: an embedding's matrices are not in `lora_A`
    )


def _lora_layers(model: Any) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def _fold(layers: Iterable[Any], name: str) -> None:
    from torch import no_grad

    with no_grad():
        for layer in layers:
            if name in layer.scaling:
                weight = layer.base_layer.weight
                layer.weight_of_base = weight.data
                weight.data = weight.data + layer.get_delta_weight(name)


def _unfold(layers: Iterable[Any]) -> None:
    for layer in layers:
        if hasattr(layer, "weight_of_base"):
            layer.base_layer.weight.data = layer.weight_of_base
            del layer.weight_of_base


@contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"An adapter does not fit this base model: {first_line(error)}") from error
