"""Where the checks of `check_cuda.py` run: the device, its memory and its speed, the models, the pairs."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMOLLM2: dict[str, Any] = {
    **{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9},
    **{"num_key_value_heads": 3, "max_position_embeddings": 8192, "tie_word_embeddings": True},
}
"""SmolLM2-135M's shape."""

LLAMA_8B: dict[str, Any] = {
    **{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    **{"num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192},
}
"""Llama 3 8B's shape."""

TINY: dict[str, Any] = {
    **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "max_position_embeddings": 8192},
}

GIB_8B = 70.0
"""Memory below which a model of Llama 3 8B's shape gets a fourth of its layers: its weights are 30 GiB in float32."""


class Skipped(Exception):  # noqa: N818  # no error: nothing is wrong with what could not be tried
    """Why something was not tried here, in one line."""


@dataclass(frozen=True)
class Place:
    """Where the checks run.

    Attributes:
        device: "cuda" or "cpu".
        base: the folder of the small model: the embedded one, or a random one of its shape that stands in for it.
        stands_in: whether it does.
        folder: where the stages write.
        tiny: whether everything is as small as can be.
        gib: the device's memory; 0 on a CPU.
        end: when all has to be over, on `time.monotonic`'s clock.
    """

    device: str
    base: Path
    stands_in: bool
    folder: Path
    tiny: bool
    gib: float
    end: float

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def limit(self, documents: int) -> int:
        """So many documents of a task, or the two of a tiny check."""
        return 2 if self.tiny else documents

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()

    def tidy(self) -> None:
        """Give back the device memory that nothing refers to."""
        import torch

        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()


def make_place(folder: Path, base: str | None, tiny: bool, minutes: float) -> Place:
    """The place, with the small model at hand.

    Args:
        folder: a temporary one.
        base: a model's folder in place of the embedded one.
        tiny: a tiny random model instead.
        minutes: that the checks may take from now on.
    """
    import torch

    torch.set_float32_matmul_precision("highest")  # float32 is to be float32, and not TF32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    gib = torch.cuda.get_device_properties(0).total_memory / 2**30 if device == "cuda" else 0.0
    path, stands_in = _small_model(folder, base, tiny)
    return Place(device, path, stands_in, folder, tiny, gib, time.monotonic() + 60 * minutes)


def _small_model(folder: Path, base: str | None, tiny: bool) -> tuple[Path, bool]:
    from lapd.errors import ModelError
    from lapd.models.base import resolve_base
    from lapd.testing import make_tiny_base

    if tiny:
        return make_tiny_base(folder / "small"), True
    if base:
        return resolve_base(base).path, False
    try:
        return resolve_base("smollm2").path, False
    except ModelError:
        # With the tokens that its tokenizer can spell, and less opinionated than a tiny one: over 30 layers that would
        # blow every rounding up.
        return make_tiny_base(folder / "small", **SMOLLM2, initializer_range=0.02), True


def large_shape(place: Place) -> dict[str, Any]:
    """Llama 3 8B's shape, with as many layers as the memory has room for."""
    if place.tiny:
        return TINY
    layers = 32 if place.gib >= GIB_8B else 8
    return {**LLAMA_8B, "num_hidden_layers": layers}


def random_llama(place: Place, shape: dict[str, Any], weights: str = "bfloat16") -> tuple[Any, Any]:
    """A Llama with random weights, made on the device and the same each time, and the small model's tokenizer.

    Args:
        place: where.
        shape: settings of its configuration.
        weights: "float32" or "bfloat16". They are drawn in bfloat16, so that both are the same.
    """
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, set_seed

    tokenizer = AutoTokenizer.from_pretrained(place.base)
    tokens = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = LlamaConfig(**{"vocab_size": len(tokenizer), **tokens, **shape})
    set_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(place.device):
            model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    # (Not `to(bfloat16)`, which would round the frequencies of the rotary embedding too.)
    return model.float() if weights == "float32" else model, tokenizer


def save_random_llama(place: Place, shape: dict[str, Any]) -> Path:
    """The folder of that model in bfloat16, for who wants to load it; written the first time.

    Raises:
        Skipped: the disk has no room.
    """
    folder = place.folder / "large"
    if not (folder / "config.json").is_file():
        model, tokenizer = random_llama(place, shape)
        bytes_needed = 2 * model.num_parameters()
        if shutil.disk_usage(place.folder).free < 1.2 * bytes_needed:
            raise Skipped(f"{place.folder} has no room for a model of {bytes_needed / 2**30:.0f} GiB")
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def long_pairs(tokenizer: Any, n: int, tokens: int) -> list[Any]:
    """`n` pairs whose sequences have about `tokens` tokens, half of them the prompt's; words of the shipped corpus."""
    from lapd.names import get_persona
    from lapd.pairs.pair import PreferencePair
    from lapd.pluginmanager import lookup

    shipped = lookup("generators", "contrast").generate(get_persona("INFP"), pairs=None, seed=0)
    ids = tokenizer(" ".join(pair.chosen for pair in shipped))["input_ids"]
    half = tokens // 2 - 20  # what the chat template adds

    def text(start: int) -> str:
        return str(tokenizer.decode([ids[(start + i) % len(ids)] for i in range(half)]))

    return [PreferencePair(text(3 * k * half), text((3 * k + 1) * half), text((3 * k + 2) * half)) for k in range(n)]


def machine(place: Place) -> dict[str, Any]:
    """The device, and its measured matrix products (floating-point operations a second; the best of ten)."""
    import torch

    found: dict[str, Any] = {"name": "CPU", "gib": place.gib}
    if place.device == "cuda":
        found["name"] = torch.cuda.get_device_name(0)
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(0)))
    rates = {name: matmul_rate(place, name) for name in ("float32", "bfloat16")}
    return {**found, **{f"matmul_{name}": rate for name, rate in rates.items()}}


def matmul_rate(place: Place, dtype: str) -> float:
    """Measured floating-point operations a second of a large matrix product; the best of ten."""
    import torch

    n = 128 if place.tiny else 8192
    a, b = (torch.randn(n, n, device=place.device, dtype=getattr(torch, dtype)) for _ in range(2))
    return 2 * n**3 / min(timed(place, lambda: a @ b) for _ in range(10))


def timed(place: Place, work: Callable[[], Any]) -> float:
    """Seconds that some work takes on the device."""
    place.wait()
    started = time.perf_counter()
    work()
    place.wait()
    return time.perf_counter() - started
