"""Steering vectors: adapters that are added to a layer's output at every position, in the form of lm-eval's `steered`.

The folder holds a `steering.pt` in place of PEFT's files: by the name of a module, the vector that is added to what it
gives. lm-eval's own `--model steered --model_args pretrained=...,steer_path=FOLDER/steering.pt` takes it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.errors import ModelError, first_line
from lapd.models.intact import check_intact

if TYPE_CHECKING:
    from torch import Tensor

STEERING = "steering.pt"


def is_steering(folder: Path) -> bool:
    """Whether an adapter's folder holds a steering vector."""
    return (folder / STEERING).is_file()


def write_steering(folder: Path, module: str, vector: Tensor, coefficient: float) -> None:
    """Write a steering vector for lm-eval and LAPD alike.

    Args:
        folder: the adapter's, which is there.
        module: whose output it is added to, by its name in the model without the output layer ("layers.14").
        vector: [hidden].
        coefficient: what it is multiplied by.
    """
    import torch

    how = {"steering_vector": vector, "steering_coefficient": coefficient, "action": "add"}
    torch.save({module: {**how, "bias": None, "head_index": None}}, folder / STEERING)


def read_steering(folder: Path) -> dict[str, Tensor]:
    """By the name of a module, the vector ([hidden], times its coefficient) that is added to its output.

    Args:
        folder: the adapter's.

    Raises:
        ModelError: the file is not whole, is none of that form, or does more than to add vectors.
    """
    import torch

    file = folder / STEERING
    check_intact([file])
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds; and what is no plain data, it refuses to run
        reason = first_line(error)
        raise ModelError(f"{file} cannot be read as a steering file: {reason}", "Fetch or make it again.") from None
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{file} is no steering file: it names no module.", FORM)
    return {str(module): _vector(entry, f"{file}, {module}") for module, entry in content.items()}


FORM = "It holds, by a module's name, steering_vector, steering_coefficient, action, bias and head_index."
ELSEWHERE = "LAPD adds vectors, and nothing else; lm-eval's own --model steered does the rest."


def _vector(entry: object, where: str) -> Tensor:
    """One module's vector, times its coefficient.

    Raises:
        ModelError: the entry is none, or no plain addition.
    """
    import torch

    if not isinstance(entry, dict) or not isinstance(entry.get("steering_vector"), torch.Tensor):
        raise ModelError(f"{where}: there is no steering_vector.", FORM)
    if (action := entry.get("action")) != "add":
        raise ModelError(f"{where}: the action is {action!r}.", ELSEWHERE)
    for part in ("bias", "head_index"):
        if entry.get(part) is not None:
            raise ModelError(f"{where}: it has a {part}.", ELSEWHERE)
    vector, coefficient = entry["steering_vector"], entry.get("steering_coefficient", 1.0)
    if vector.dim() != 1 or not vector.is_floating_point() or not isinstance(coefficient, (int, float)):
        raise ModelError(f"{where}: the steering_vector is no vector, or its coefficient no number.", FORM)
    if not bool(torch.isfinite(vector).all()):
        raise ModelError(f"{where}: the steering_vector has parts that are no numbers.", "Make it again.")
    scaled: Tensor = vector * coefficient
    return scaled


def steer(causal: Any, vectors: Mapping[str, Tensor], strength: float = 1.0) -> None:
    """Add vectors to the outputs of a model's modules, at every position, until `unsteer`.

    Args:
        causal: a causal language model, without PEFT's wrapper.
        vectors: from `read_steering`.
        strength: what they are multiplied by.

    Raises:
        ModelError: the model has no such module, or is of another width.
    """
    unsteer(causal)
    modules = dict(causal.base_model.named_modules())
    width = causal.config.get_text_config().hidden_size
    for name, vector in vectors.items():
        if name not in modules:
            raise ModelError(f"This base model has no module {name!r} to be steered.", "Give the base that it is for.")
        if len(vector) != width:
            what = f"The steering vector has {len(vector)} numbers, and this base model is {width} wide."
            raise ModelError(what, "Give the base that it is for.")
    added = {name: (vector * strength).to(causal.device, causal.dtype) for name, vector in vectors.items()}
    causal.steered_by = [modules[name].register_forward_hook(_adding(vector)) for name, vector in added.items()]


def unsteer(causal: Any) -> None:
    """Let a model be again what it was before `steer`."""
    for hook in vars(causal).pop("steered_by", ()):
        hook.remove()


def _adding(vector: Tensor) -> Callable[..., Any]:
    def hook(module: Any, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0] + vector.to(output[0]), *output[1:])
        return output + vector.to(output)

    return hook
