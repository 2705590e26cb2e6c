"""Baking adapters into their base: a whole model for servers without adapters, and a GGUF file of it if asked for."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import RUN_CARD, Adapter
from lapd.adapters.card import model_card
from lapd.adapters.kinds import lora_config
from lapd.adapters.merge import is_finished, merge_card, merge_identity, origin_of
from lapd.adapters.switching import load_adapters, peft_name, scale_adapter
from lapd.errors import ModelError
from lapd.files.quiet import quiet_libraries
from lapd.files.whole import atomic_folder, write_json, write_text
from lapd.models.base import BaseModel
from lapd.models.loading import load_base
from lapd.models.tokenizers import check_same_tokenizer, copy_tokenizer

CONVERTERS = ("convert_hf_to_gguf.py", "convert-hf-to-gguf")
"""llama.cpp's converter to GGUF, as it is called in a checkout and as a package."""

GGUF_TYPES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def bake_adapters(
    parts: Sequence[Adapter],
    base: BaseModel,
    out: Path,
    *,
    dtype: str = "float32",
    gguf: bool = False,
    force: bool = False,
) -> Path:
    """Write the base with `parts`, each times its strength, added to its weights; or leave the one that is there.

    Args:
        parts: adapters of `base`.
        base: from `resolve_base`.
        out: the folder of the model, in Hugging Face's format, with the base's tokenizer and chat templates.
        dtype: of the weights that are written. The sum is computed in float32 and rounded once.
        gguf: write `<name>.gguf` into the folder as well.
        force: replace another adapter or model of LAPD's.

    Returns:
        `out`.

    Raises:
        UsageError, BaseMismatchError, ModelError: as `merge_adapters`; or llama.cpp's converter is missing or fails.
    """
    converter = _converter() if gguf else None
    origin = origin_of(parts, base)
    identity = merge_identity(parts, origin, dtype, gguf)
    if is_finished(parts, out, identity, force):
        return out
    for part in parts:
        lora_config(part)
    started = time.time()
    model, _ = load_base(base, dtype, "cpu")
    model = _with_weights_added(load_adapters(model, parts), parts)
    with atomic_folder(out, replace=force) as folder:
        with quiet_libraries():
            model.save_pretrained(folder)
        copy_tokenizer(base.path, folder)
        check_same_tokenizer(base.path, folder)
        card = {**merge_card(parts, origin, identity, {"dtype": dtype}, started), "into_base": True}
        write_json(folder / RUN_CARD, card)
        write_text(folder / "README.md", model_card(card))
        if converter:
            _convert(converter, folder, out.name, dtype)
    return out


def _with_weights_added(model: Any, parts: Sequence[Adapter]) -> Any:
    """The bare base model out of a PEFT model, every part's update added to its weights.

    Raises:
        ModelError: an update is of an embedding that the model uses at both ends; the sum would change both.
    """
    import torch
    from peft.tuners.lora import LoraLayer

    names = {peft_name(part): part.strength for part in parts}
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    tied = model.get_base_model().get_input_embeddings().weight if model.config.tie_word_embeddings else None
    for name, strength in names.items():
        scale_adapter(model, name, strength)
    with torch.no_grad():
        for layer in layers:
            weight = layer.get_base_layer().weight
            if weight is tied:
                raise ModelError("An adapter changes an embedding that this model shares with its output.")
            total = weight.float()
            for name in [name for name in names if name in layer.scaling]:
                total = total + layer.get_delta_weight(name).float()
            weight.copy_(total)
    return model.unload()


def _converter() -> str:
    """llama.cpp's converter on the PATH.

    Raises:
        ModelError: there is none.
    """
    for name in CONVERTERS:
        if found := shutil.which(name):
            return found
    raise ModelError(
        f"--gguf needs llama.cpp's converter, and {CONVERTERS[0]} is not on the PATH.",
        "It is in llama.cpp's repository, beside its requirements: put the checkout's folder on the PATH.",
    )


def _convert(converter: str, folder: Path, name: str, dtype: str) -> None:
    """Write `<name>.gguf` into the folder of a whole model.

    Raises:
        ModelError: the converter does not take the model.
    """
    file = folder / f"{name}.gguf"
    with tempfile.TemporaryDirectory() as place:
        # The converter writes the folder's name into the file, and this one's is not the last.
        link = Path(place) / name
        link.symlink_to(folder.resolve())
        options = ["--outfile", str(file), "--outtype", GGUF_TYPES[dtype], "--model-name", name]
        result = subprocess.run([converter, str(link), *options], capture_output=True, text=True)
    if result.returncode or not file.is_file():
        reason = (result.stderr or result.stdout).strip().splitlines()[-1:] or ["it wrote no file."]
        hint = "Leave --gguf out to write the model without it."
        raise ModelError(f"{Path(converter).name} failed: {reason[0]}", hint)
