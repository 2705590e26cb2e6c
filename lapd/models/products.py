"""In which precision this processor multiplies matrices of a model's shape faster: measured once a machine, and kept.

What a processor's flags promise says little: with AVX-512 bfloat16 was seen at 0.6 times float32's speed on one make
and at 2.3 times on another, and without it at a hundredth.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lapd.errors import DataError, StoreError
from lapd.files.whole import cache_dir, digest_json, read_record, write_json

SCHEMA = "lapd.products/1"

EMBEDDED = (576, 1536)
"""The widest layer of the embedded model: inputs, outputs."""

TOKENS = 192
"""So many states meet the weights at once: a pair's prompt and two short responses."""

SMALL = 128
"""The side of the cubes that are multiplied first: where bfloat16 is emulated, one takes some milliseconds."""

HOPELESS = 0.25
"""Slower than this part of float32 in the small products, bfloat16 is not tried on the model's: it may take minutes."""

GAIN = 1.3
"""So many times as fast bfloat16 must be. Its casts cost time beside the products, and it is the rounder one."""

LARGEST = 2**28
"""Multiplications of the product at the model's shape: of a wide layer, some of the outputs do."""

SECONDS = 0.01
"""Of the processor for each product, besides a first one that does not count: on a busy machine the clock tells more of
the others' work."""


@dataclass(frozen=True)
class Products:
    """What a processor was found to do.

    Attributes:
        inputs: of the layer whose product was measured.
        outputs: of that layer.
        float32: GFLOP a second of a core.
        bfloat16: the same; of the small product where the other was not tried.
    """

    inputs: int
    outputs: int
    float32: float
    bfloat16: float

    @property
    def faster(self) -> str:
        """The precision that training takes by itself."""
        return "bfloat16" if self.bfloat16 >= GAIN * self.float32 else "float32"

    def record(self) -> dict[str, Any]:
        """For a run card: the numbers and the choice."""
        return {**asdict(self), "unit": "GFLOP/s a core", "faster": self.faster}

    def __str__(self) -> str:
        return f"{self.faster} (float32 {self.float32:.3g} GFLOP/s a core, bfloat16 {self.bfloat16:.3g})"


def layer_shape(model: Any) -> tuple[int, int]:
    """Inputs and outputs of the model's largest linear layer, leaving out the vocabulary's and what LoRA has put in."""
    from torch.nn import Linear

    head = model.get_output_embeddings()
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, Linear) and m is not head]
    layers = [m for name, m in linear if "lora_" not in name]
    largest = max(layers, key=lambda m: (m.in_features * m.out_features, m.in_features), default=None)
    return EMBEDDED if largest is None else (largest.in_features, largest.out_features)


def measured_products(shape: tuple[int, int]) -> Products:
    """What was measured for layers of this shape on this processor with this torch, or is measured now.

    It takes some 50 ms, draws no random number, and is kept in the cache where that can be written.

    Args:
        shape: inputs and outputs of a linear layer.
    """
    path = cache_dir() / "products" / f"{digest_json([*_machine(), *shape])[:16]}.json"
    with suppress(OSError, DataError, StoreError, KeyError):
        return _read(path)
    found = _measure(*shape)
    with suppress(OSError):
        write_json(path, {"schema": SCHEMA, "machine": _machine(), **asdict(found)})
    return found


def kept_products() -> Iterator[Products]:
    """All that has been measured on this processor with this torch."""
    for path in sorted((cache_dir() / "products").glob("*.json")):
        with suppress(OSError, DataError, StoreError, KeyError):
            if read_record(path, SCHEMA)["machine"] == _machine():
                yield _read(path)


def _read(path: Path) -> Products:
    record = read_record(path, SCHEMA)
    return Products(**{name: record[name] for name in Products.__dataclass_fields__})


def _machine() -> list[str]:
    """Torch's version, and the processor with its abilities: one name may stand for several generations."""
    import torch

    kinds = ("model name", "cpu family", "model", "flags", "Features")
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    told = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() in kinds]
    return [torch.__version__, platform.machine(), digest_json(told or platform.processor())[:16]]


def _measure(inputs: int, outputs: int) -> Products:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other on a busy machine
    try:
        return _measure_one_core(inputs, outputs)
    finally:
        torch.set_num_threads(threads)


def _measure_one_core(inputs: int, outputs: int) -> Products:
    import torch

    rates = {kind: _rate(kind, SMALL, SMALL, SMALL) for kind in (torch.float32, torch.bfloat16)}
    hopeless = rates[torch.bfloat16] < HOPELESS * rates[torch.float32]
    some = min(outputs, max(SMALL, LARGEST // (TOKENS * inputs)))
    float32 = _rate(torch.float32, TOKENS, inputs, some)
    bfloat16 = rates[torch.bfloat16] if hopeless else _rate(torch.bfloat16, TOKENS, inputs, some)
    return Products(inputs, outputs, round(float32, 2), round(bfloat16, 2))


def _rate(kind: Any, tokens: int, inputs: int, outputs: int) -> float:
    """GFLOP a second of a core, of the fastest product in `SECONDS`; 0 where torch has none in this precision."""
    import torch
    from torch.nn.functional import linear

    states, weight = torch.ones(tokens, inputs, dtype=kind), torch.ones(outputs, inputs, dtype=kind)
    best, began = float("inf"), float("inf")
    try:
        with torch.inference_mode():
            linear(states, weight)  # it finds out how to do it
            began = time.process_time()
            while best == float("inf") or time.process_time() - began < SECONDS:
                started = time.process_time()
                linear(states, weight)
                best = min(best, time.process_time() - started)
    except RuntimeError:
        return 0.0
    return 2 * tokens * inputs * outputs / best / 1e9
