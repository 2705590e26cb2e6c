"""The base's layers in a training: which LoRA can be put on, and none that leaves something out at random."""

from __future__ import annotations

import re
from typing import Any

from lapd.errors import UsageError
from lapd.models.base import BaseModel

ALL = "all-linear"
"""PEFT's name for every linear layer but the output."""

RANDOM = re.compile(r"drop|jitter")
"""What settings are called that are a share left out, or noise added, while training."""

SHOWN = 12


def target_layers(model: Any, base: BaseModel, wanted: str | None) -> dict[str, Any]:
    """What `peft.LoraConfig` is told of the layers that LoRA goes onto.

    Args:
        model: the bare base.
        base: for messages.
        wanted: names with commas between, as in "q_proj,v_proj"; None for every linear layer that takes LoRA.

    Raises:
        UsageError: a name is no such layer's, or the model has none; the message lists those that there are.
    """
    takes, others = _linear_layers(model)
    choice = sorted({name.rpartition(".")[2] for name in takes})
    if not choice:
        raise UsageError(f"{base.name} has no layers that LoRA can be put on.", "Give another base.")
    if wanted is None or wanted == ALL:
        left_out = sorted({name.rpartition(".")[2] for name in others})
        return {"target_modules": ALL, **({"exclude_modules": left_out} if left_out else {})}
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if not any(layer == name or layer.endswith(f".{name}") for layer in takes):
            more = f" and {len(choice) - SHOWN} more" if len(choice) > SHOWN else ""
            hint = f"Those that take LoRA: {', '.join(choice[:SHOWN])}{more}."
            raise UsageError(f"--target-modules: {base.name} has no layer {name!r} that takes LoRA.", hint)
    return {"target_modules": names}


def _linear_layers(model: Any) -> tuple[list[str], list[str]]:
    """The names of the linear layers that take LoRA, and of those that do not; the output is neither.

    One of a kind of its own (a router of experts, say) may give back more than a product; and fast paths of Mamba's
    mixers, which have a convolution, read their output layer's weights past the layer.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()
    linear = {name: m for name, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not output}
    takes = []
    for name, module in linear.items():
        parent, _, own = name.rpartition(".")
        is_read_past = own == "out_proj" and hasattr(model.get_submodule(parent), "conv1d")
        is_plain = type(module) in (nn.Linear, Conv1D) or type(module).__module__.startswith("bitsandbytes")
        if is_plain and not is_read_past:
            takes.append(name)
    return takes, [name for name in linear if name not in takes]


def without_dropout(model: Any) -> None:
    """Set to 0 whatever the base leaves out or adds at random while training: DPO compares it with itself.

    TRL does so for modules of torch only; many models (OPT, XGLM and others) have a number and call a function.
    """
    from torch.nn.modules.dropout import _DropoutNd

    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        _silence(module)
        if (config := getattr(module, "config", None)) is not None:
            _silence(config)


def _silence(thing: Any) -> None:
    for name, value in vars(thing).items():
        if RANDOM.search(name) and type(value) in (int, float):
            setattr(thing, name, 0.0)
