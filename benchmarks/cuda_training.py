"""The checks of `check_cuda.py` on training: `trl` against stock TRL, `unsloth` against both.

Every side trains the same model on the same pairs in the same order from the same first LoRA weights. A step's time is
the median of those after the first three, without loading and the reference pass; memory is the most that PyTorch held.
"tokens" counts both sequences of each pair, prompt included, for every side alike. "share" is how much of the measured
matrix-product rate that is, at 4 floating-point operations a parameter and token (forward 2, and 2 for the gradients of
the activations; the frozen weights get none).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from cuda_place import Place, Skipped, large_shape, long_pairs, matmul_rate, random_llama, save_random_llama
from train_cpu import Stock, train_loaded

WARM = 3
"""Steps before the measured ones: kernels are chosen and compiled, memory is taken."""


@dataclass(frozen=True)
class Side:
    """A trainer and how it trains.

    Attributes:
        trainer: "stock" (TRL's own trainer), "trl" or "unsloth".
        precision: as in `TrainConfig`.
        weights: the dtype of the frozen weights; LAPD's are float32, whatever the precision.
        checkpointing: whether activations are computed anew in the backward pass.
        load_in_4bit: as in `TrainConfig`.
    """

    trainer: str
    precision: str = "bfloat16"
    weights: str = "float32"
    checkpointing: bool = False
    load_in_4bit: bool = False


SMALL = {
    "stock, float32": Side("stock", "float32", checkpointing=True),
    "trl, float32": Side("trl", "float32"),
    "stock": Side("stock", checkpointing=True),
    "trl": Side("trl", "auto"),
    "unsloth": Side("unsloth"),
}
LARGE = {
    "stock": Side("stock", weights="bfloat16", checkpointing=True),
    "trl": Side("trl", "auto"),
    "trl, bfloat16 weights": Side("trl", weights="bfloat16"),
    "trl, checkpointing": Side("trl", "auto", checkpointing=True),
    "unsloth": Side("unsloth"),
    "unsloth, 4 bit": Side("unsloth", load_in_4bit=True),
}

LIMITS = {"trl, float32": 0.01, "trl": 0.05, "unsloth": 0.05}
"""Nats that a side's loss may be from stock TRL's at any step, on the small model."""


@dataclass(frozen=True)
class Job:
    """One side's training, as it goes to a process of its own.

    Attributes:
        side: which.
        model: a model's folder; "" for the random one of the large shape, made on the spot.
        random: whether the folder holds that one, of whose gigabytes nobody needs a digest.
        pairs: JSON lines of LAPD's own form.
        batch: pairs a step.
        steps: optimizer steps.
        tokens: that a sequence has at most.
        out: an empty folder.
    """

    side: Side
    model: str
    pairs: str
    batch: int
    steps: int
    tokens: int
    out: str
    random: bool = False


def small(place: Place) -> dict[str, Any]:
    """All sides on the small model and the shipped pairs."""
    from lapd.names import get_persona
    from lapd.pairs.pair import write_pairs
    from lapd.pluginmanager import lookup

    batch, steps = (2, 3) if place.tiny else (8, 16)
    pairs = lookup("generators", "contrast").generate(get_persona("INFP"), pairs=batch * steps, seed=0)
    path = place.folder / "small.jsonl"
    write_pairs(path, list(pairs))
    found = run_sides(place, SMALL, Job(SMALL["stock"], str(place.base), str(path), batch, steps, 512, ""))
    sides = found["sides"]
    for name, limit in LIMITS.items():
        stock = "stock, float32" if "float32" in name else "stock"
        distance = sides[name].get(f"loss_from_{stock}", 0.0)
        if distance > limit:
            found["wrong"].append(f"{name}: its losses are up to {distance:.2g} from those of {stock}")
    return found


def large(place: Place) -> dict[str, Any]:
    """All sides on a random model of Llama 3 8B's shape and pairs of 512 tokens a sequence."""
    from transformers import AutoTokenizer

    from lapd.pairs.pair import write_pairs

    if place.device == "cuda" and place.gib < 40:
        raise Skipped(f"{place.gib:.0f} GiB of memory; it takes 40")
    batch, steps, tokens = (2, 3, 64) if place.tiny else (8 if place.gib > 100 else 2, 8, 512)
    path = place.folder / "large.jsonl"
    write_pairs(path, long_pairs(AutoTokenizer.from_pretrained(place.base), batch * steps, tokens))
    job = Job(LARGE["stock"], "", str(path), batch, steps, tokens + 64, "")
    found = run_sides(place, LARGE, job)
    return {**found, "layers": large_shape(place)["num_hidden_layers"]}


def run_sides(place: Place, sides: dict[str, Side], job: Job) -> dict[str, Any]:
    """Each side's figures, or why it did not run; and how far its losses are from stock TRL's."""
    found: dict[str, dict[str, Any]] = {}
    rate = matmul_rate(place, "bfloat16")
    wrong = []
    for number, (name, side) in enumerate(sides.items()):
        if place.left < 20:
            found[name] = {"skipped": "no time is left"}
            continue
        out = place.folder / f"side-{number}-{job.batch}-{job.steps}-{Path(job.pairs).stem}"
        out.mkdir()
        print(f"  {name} ...", file=sys.stderr, flush=True)
        try:
            found[name] = run_side(place, replace(job, side=side, out=str(out)))
        except Skipped as reason:
            found[name] = {"skipped": str(reason)}
        except Exception as error:  # whatever a library raises, the other sides shall run
            found[name] = {"failed": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"}
            wrong.append(f"{name} failed: {found[name]['failed']}")
        place.tidy()
    parameters = max(result.pop("parameters", 0) for result in found.values())
    for result in found.values():
        if "tokens_per_second" in result:
            result["share"] = result["tokens_per_second"] * 4 * parameters / rate
    _compare(found)
    shape = {"parameters": parameters, "pairs_a_step": job.batch, "steps": job.steps, "matmul": rate}
    return {**shape, "sides": found, "wrong": wrong}


def _compare(sides: dict[str, dict[str, Any]]) -> None:
    """Each side's ratio of speed to stock TRL's and largest distance of losses (nats), by precision."""
    for name, result in sides.items():
        stock = "stock, float32" if "float32" in name and "stock, float32" in sides else "stock"
        theirs = sides.get(stock, {})
        if "losses" in result and "losses" in theirs:
            result["ratio"] = theirs["seconds_a_step"] / result["seconds_a_step"]
            distances = [abs(a - b) for a, b in zip(result["losses"], theirs["losses"], strict=True)]
            result[f"loss_from_{stock}"] = max(distances)


def run_side(place: Place, job: Job) -> dict[str, Any]:
    """A side's figures; Unsloth's from a process of its own, since it changes what other sides stand on.

    Raises:
        Skipped: it cannot run here.
    """
    import torch

    if job.side.trainer != "unsloth":
        try:
            return measure(job, *_model(place, job))
        except Exception as error:
            if isinstance(error.__cause__ or error, torch.OutOfMemoryError):
                raise Skipped(f"its {place.gib:.0f} GiB of memory do not suffice") from None
            raise
    from lapd.pluginmanager import lookup

    if reason := lookup("trainers", "unsloth").unavailable():
        raise Skipped(reason)
    if job.side.load_in_4bit and (place.device == "cpu" or find_spec("bitsandbytes") is None):
        raise Skipped("bitsandbytes is not installed" if place.device == "cuda" else "4 bit needs a GPU")
    if not job.model:
        job = replace(job, model=str(save_random_llama(place, large_shape(place))), random=True)
    return _unsloth(place, job)


def _model(place: Place, job: Job) -> tuple[Any, Any, Any]:
    """The base model's record, the model and its tokenizer."""
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    if job.model:
        base = resolve_base(job.model)
        return base, *load_base(base, job.side.weights, place.device)
    return _random_base(place.folder), *random_llama(place, large_shape(place), job.side.weights)


def _random_base(folder: Path) -> Any:
    from lapd.models.base import BaseModel

    return BaseModel("random", folder, "0" * 64, "random")


def measure(job: Job, base: Any, model: Any = None, tokenizer: Any = None) -> dict[str, Any]:
    """One training in this process: seconds a step, tokens a second, memory, losses."""
    import torch

    from lapd.files.quiet import quiet_libraries
    from lapd.pairs.pair import read_pairs

    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    pairs = read_pairs(Path(job.pairs))
    started = time.perf_counter()
    with quiet_libraries(), cache_of_its_own(), step_clock() as seconds:
        losses, parameters = _train(job, base, model, tokenizer, pairs)
    took = time.perf_counter() - started
    step = median(seconds[WARM:] or seconds)
    return {
        "seconds_a_step": step,
        "tokens_per_second": _tokens(pairs, base, tokenizer, job) / job.steps / step,
        "seconds": took,
        "gib": torch.cuda.max_memory_reserved() / 2**30 if on_gpu else 0.0,
        "parameters": parameters,
        "losses": losses,
    }


def _train(job: Job, base: Any, model: Any, tokenizer: Any, pairs: list[Any]) -> tuple[list[float], int]:
    """The losses (nats) of each step, and the frozen model's parameters."""
    from lapd import TrainConfig

    side, out = job.side, Path(job.out)
    config = TrainConfig(
        "INFP",
        base=str(base.path),
        precision=side.precision,
        batch_size=job.batch,
        epochs=1,
        max_length=job.tokens,
        save_steps=10_000,
        eval_pairs=0,
        gradient_checkpointing=side.checkpointing,
        load_in_4bit=side.load_in_4bit,
    )
    parameters = model.num_parameters() if model is not None else 0
    if side.trainer == "stock":
        stock = Stock(bf16=side.precision == "bfloat16", checkpointing=side.checkpointing)
        return train_loaded(stock, config, model, tokenizer, pairs, out), parameters
    adapter = out / "adapter"
    adapter.mkdir()
    if side.trainer == "trl":
        from lapd.plugins.trl import LoadedBase, TrlTrainer

        bases = LoadedBase()
        bases.keeping = True
        bases.give_back(base, config, model, tokenizer)
        result = TrlTrainer((), bases).train(config, base, pairs, out / "work", adapter)
    else:
        from lapd.plugins.unsloth_trainer import _train as train_here

        result = train_here(config, base, pairs, [], out / "work", adapter)
    return [entry["loss"] for entry in result.log if "loss" in entry], parameters


def _tokens(pairs: list[Any], base: Any, tokenizer: Any, job: Job) -> int:
    """Tokens of both sequences of all pairs of the job."""
    from lapd.plugins.rendering import token_rows

    from lapd.models.loading import load_tokenizer

    rows = token_rows(pairs, tokenizer or load_tokenizer(base), job.tokens)
    return sum(2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)


@contextmanager
def step_clock() -> Iterator[list[float]]:
    """The seconds of each optimizer step of every trainer of transformers that is made meanwhile."""
    import torch
    from transformers import TrainerCallback, trainer

    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.started = self._now()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(self._now() - self.started)

        def _now(self) -> float:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            return time.perf_counter()

    trainer.DEFAULT_CALLBACKS.append(Clock)
    try:
        yield seconds
    finally:
        trainer.DEFAULT_CALLBACKS.remove(Clock)


@contextmanager
def cache_of_its_own() -> Iterator[None]:
    """An empty cache, so that no reference is known yet."""
    before = os.environ.get("LAPD_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAPD_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("LAPD_CACHE")
            if before is not None:
                os.environ["LAPD_CACHE"] = before


def _unsloth(place: Place, job: Job) -> dict[str, Any]:
    """`measure` in a process of its own."""
    from lapd.plugins.unsloth_trainer import _environment

    # That environment keeps the folder of a script out of where modules are looked for; this one needs its neighbours.
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**_environment(), "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(
                [sys.executable, __file__],
                input=json.dumps(asdict(job)),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                timeout=max(1.0, place.left),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Skipped("no time was left to end it") from None
        if done.returncode:
            errors.seek(0)
            raise RuntimeError((errors.read().strip().splitlines() or ["no message"])[-1])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """A job from standard input: Unsloth's side, which has to be imported before all that it changes."""
    import unsloth  # noqa: F401

    from lapd.models.base import resolve_base

    told = json.loads(sys.stdin.read())
    job = Job(**{**told, "side": Side(**told["side"])})
    found = measure(job, _random_base(Path(job.model)) if job.random else resolve_base(job.model))
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
