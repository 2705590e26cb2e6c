"""Adapters on a live model: loading them beside it, and switching between them.

However many there are, few are held at once: each takes memory, and is read again in half a second when it is wanted.
LoRA adapters lie beside each other; one of another kind has the model to itself for as long as it is on, but for a
steering vector, which is no part of the model and takes no place in it. One that is switched on may be folded into the
weights, so that a forward pass costs what the base's does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from lapd.adapters.adapter import Adapter, check_unchanged
from lapd.adapters.kinds import adapter_config, check_loadable, is_plain_lora, lives_beside_others
from lapd.adapters.steering import is_steering, read_steering, steer, unsteer
from lapd.errors import LapdError, ModelError, first_line

RESIDENT = 4
"""So many adapters stay loaded: an experiment's usual few are never read twice, and sixteen cost no more than these."""


def load_adapters(model: Any, adapters: Sequence[Adapter]) -> Any:
    """The model with every adapter loaded beside it, the first switched on; the bare model if there is none.

    An adapter at several strengths is loaded once.

    Args:
        model: the bare base.
        adapters: more than one only if all live beside others.

    Raises:
        ModelError: an adapter cannot be loaded, or does not fit the model; or two cannot be loaded together.
    """
    if not adapters:
        return model
    weights = {peft_name(adapter): adapter for adapter in adapters if not is_steering(adapter.path)}
    for first in list(weights.values())[:1]:
        model = _wrapped(model, first)
    for other in list(weights.values())[1:]:
        if not _has_room(model, other):
            raise ModelError(f"Adapters {first.name} and {other.name} cannot be loaded side by side.", "Use one.")
        _load_beside(model, other)
    switch_adapter(model, adapters[0])
    return model.eval()


def prepared(model: Any, adapter: Adapter | None) -> Any:
    """The model on which `switch_adapter` can switch that adapter on.

    Args:
        model: bare, or what this or `load_adapters` returned, which is used up.
        adapter: one that cannot lie beside those that are loaded takes the place of all of them.

    Raises:
        ModelError: the adapter cannot be loaded, or does not fit the model.
    """
    if adapter is None or is_steering(adapter.path):
        return model
    if not hasattr(model, "peft_config"):
        return load_adapters(model, [adapter])
    if peft_name(adapter) in model.peft_config:
        return model
    check_unchanged(adapter)
    if _has_room(model, adapter):
        return model
    return load_adapters(_bare(model), [adapter])


def peft_name(adapter: Adapter) -> str:
    """What a loaded adapter is called inside PEFT, at whatever strength."""
    return f"{adapter.name}@{adapter.digest[:12]}".replace(".", "_")  # PEFT takes a dot for a path of modules


def switch_adapter(model: Any, adapter: Adapter | None, fold: bool = False) -> None:
    """Switch an adapter on, at its strength, or all of them off.

    Args:
        model: from `load_adapters` or `prepared`; a bare one has none to switch off.
        adapter: one that is not loaded takes the place of the oldest, where there are `RESIDENT` already.
        fold: put it into the weights for as long as it is on, if `can_fold` says that this can be done. The base's own
            weights are kept beside, and come back bit for bit.

    Raises:
        ModelError: it cannot be loaded beside the others, or its shape does not fit the model.
    """
    from lapd.packed.forward import causal_of

    unsteer(causal_of(model))
    _unfold(_lora_layers(model))
    if adapter is None or is_steering(adapter.path):
        if hasattr(model, "peft_config"):
            _turn(model, on=False)
        if adapter:
            with _loading(adapter):
                steer(causal_of(model), read_steering(adapter.path), adapter.strength)
        return
    name = peft_name(adapter)
    is_new = name not in model.peft_config
    if is_new:
        _load_beside(model, adapter)
    _turn(model, on=True)
    model.set_adapter(name)
    for oldest in list(model.peft_config)[:-RESIDENT] if is_new else ():
        model.delete_adapter(oldest)
    scale_adapter(model, name, adapter.strength)
    if fold and can_fold(model, adapter):
        _fold(_lora_layers(model), name)
        model.base_model.disable_adapter_layers()


def _wrapped(model: Any, adapter: Adapter) -> Any:
    """The bare model with its first adapter."""
    from peft import PeftModel

    own = {}
    with _loading(adapter):
        if adapter_config(adapter).get("bias", "none") != "none":
            own = {parameter: parameter.data.clone() for name, parameter in model.named_parameters() if "bias" in name}
        wrapped = PeftModel.from_pretrained(model, adapter.path, adapter_name=peft_name(adapter))
    # PEFT writes the adapter's biases over the base's, and leaves them there when the adapter is switched off.
    wrapped.biases = [(parameter, data, parameter.data.clone()) for parameter, data in own.items()]
    return wrapped


def _load_beside(model: Any, adapter: Adapter) -> None:
    with _loading(adapter):
        model.load_adapter(adapter.path, adapter_name=peft_name(adapter))


def _has_room(model: Any, adapter: Adapter) -> bool:
    """Whether PEFT can hold the adapter beside those that are loaded."""
    loaded = [config.to_dict() for config in model.peft_config.values()]
    return all(map(lives_beside_others, [*loaded, adapter_config(adapter)]))


def _bare(model: Any) -> Any:
    """The base model out of a PEFT model, which is used up."""
    from peft.utils.other import AuxiliaryTrainingWrapper

    switch_adapter(model, None)
    # Of a module that the adapter has a copy of, PEFT would leave the copy behind.
    copied = [(n, m) for n, m in model.named_modules() if isinstance(m, AuxiliaryTrainingWrapper)]
    for name, module in copied:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, module.original_module)
    base = model.unload() if hasattr(model.base_model, "unload") else model.get_base_model()
    vars(base).pop("peft_config", None)  # or PEFT would take it for a model that has adapters
    return base


def _turn(model: Any, on: bool) -> None:
    """Switch what is loaded on or off as a whole."""
    for parameter, own, trained in getattr(model, "biases", ()):
        parameter.data = trained if on else own
    if hasattr(model.base_model, "enable_adapter_layers"):
        if on:
            model.base_model.enable_adapter_layers()
        else:
            model.base_model.disable_adapter_layers()
    elif on:  # prompts and prefixes are no layers: PEFT has one way to leave them out
        vars(model).pop("left_out", ExitStack()).close()
    elif "left_out" not in vars(model):
        model.left_out = ExitStack()
        model.left_out.enter_context(model.disable_adapter())


def scale_adapter(model: Any, name: str, strength: float) -> None:
    """Multiply the scale that PEFT loaded with a strength, whatever kind of layer has one.

    Always from what was loaded, never from what is there: no order of switching may leave a trace.
    """
    for layer in model.modules():
        scaling = getattr(layer, "scaling", None)
        if isinstance(scaling, dict) and name in scaling:
            loaded = vars(layer).setdefault("loaded_scaling", {})
            scaling[name] = loaded.setdefault(name, scaling[name]) * strength


def can_fold(model: Any, adapter: Adapter) -> bool:
    """Whether an adapter's update can be added to the weights without harm.

    That is a plain LoRA adapter of linear layers in float32 on a CPU. In bfloat16 the sum would be rounded to the
    weights' grid, which hides much of what a small adapter learned; on a GPU the memory for it is dearer than the time.
    """
    from torch import float32, nn

    if not is_plain_lora(adapter):
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
def _loading(adapter: Adapter) -> Iterator[None]:
    """Around the reading of an adapter's files: they are whole, of the digest that they were found with, and fit."""
    check_unchanged(adapter)
    check_loadable(adapter)
    try:
        yield
    except LapdError:
        raise
    except Exception as error:  # PEFT and torch raise many kinds for an adapter that was made for something else
        raise ModelError(f"Adapter {adapter.name} does not fit this base model: {_cause(error)}") from error
    check_unchanged(adapter)


def _cause(error: Exception) -> str:
    """An error in one line; torch puts what it is about on the second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if len(lines) > 1 and lines[0].endswith(":") else first_line(error)
