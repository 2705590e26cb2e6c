"""`lapd train --plan`: what would be trained, how far each adapter is, and how long the rest takes by what was before.

Nothing is loaded and nothing is written. A time is only given where an adapter was trained on the same base by the same
trainer on a machine like this one, and its run card lies beside the new adapter's folder, in `out/` or in a run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from lapd.adapters.adapter import RUN_CARD, RUN_CARD_SCHEMA
from lapd.errors import LapdError
from lapd.evaluate.provenance import hardware
from lapd.files.whole import read_json, read_record
from lapd.train.config import TrainConfig
from lapd.train.job import Job, finished, prepare
from lapd.train.work import partial_of

PLACES = ("out/*", "runs/*/adapters/*")
"""Where adapters lie, from where the command is given, besides beside the new one."""

WHOLE = "lapd_complete"
"""What marks a checkpoint as whole (docs/files.md)."""


@dataclass(frozen=True)
class PlannedTraining:
    """An adapter and how far it is.

    Attributes:
        adapter, persona, control, seed: what it is.
        folder: where it goes.
        base, trainer: on what and by which trainer it is trained.
        pairs, heldout: that it learns from, and that it is scored on.
        steps: of the optimizer; fewer where `stop_when` ends it early.
        done: whether it is there already.
        step: the newest whole checkpoint's, of one that is not.
        seconds_left: 0 for a finished one; None if nothing was measured here to go by.
    """

    adapter: str
    persona: str
    control: str | None
    seed: int
    folder: str
    base: str
    trainer: str
    pairs: int
    heldout: int
    steps: int
    done: bool
    step: int
    seconds_left: float | None


@dataclass(frozen=True)
class TrainingPlan:
    """What `lapd train --plan` shows."""

    trainings: list[PlannedTraining]

    @property
    def done(self) -> int:
        """How many adapters are there."""
        return sum(training.done for training in self.trainings)

    @property
    def seconds_left(self) -> float | None:
        """The time for everything that is left, one after the other; None unless all of it can be told."""
        known = [t.seconds_left for t in self.trainings if t.seconds_left is not None]
        return round(sum(known), 1) if len(known) == len(self.trainings) else None

    def as_json(self) -> dict[str, Any]:
        """What `lapd train --plan --json` prints."""
        return {
            "trainings": [asdict(training) for training in self.trainings],
            "todo": len(self.trainings) - self.done,
            "done": self.done,
            "seconds_left": self.seconds_left,
        }


def plan_trainings(trainings: Sequence[tuple[TrainConfig, Path]], force: bool = False) -> TrainingPlan:
    """How far each adapter is, and how long the rest will take.

    Args:
        trainings: configurations and the adapters' folders.
        force: as `train_adapter` takes it: whether others that are there give way.

    Raises:
        UsageError: a folder holds something else and `force` is not set.
        LapdError: as `lapd.train.job.prepare`.
    """
    jobs = [prepare(config, folder) for config, folder in trainings]
    cards = list(_cards_here(job.out.parent for job in jobs))
    return TrainingPlan([_planned(job, cards, force) for job in jobs])


def steps_of(config: TrainConfig, pairs: int) -> int:
    """How many optimizer steps so many pairs make; transformers' Trainer rounds epochs and batches up in this way."""
    batches = math.ceil(pairs / config.batch_size)
    return math.ceil(config.epochs * max(1, math.ceil(batches / config.grad_accum)))


def _planned(job: Job, cards: Sequence[dict[str, Any]], force: bool) -> PlannedTraining:
    config = job.config
    steps = getattr(job.trainer, "steps", steps_of)(config, len(job.pairs))
    done = finished(job, force) is not None
    step = 0 if done else _newest_step(job)
    left = 0.0 if done else _seconds(job, cards, steps)
    if left is not None and not done:
        left = round(left * max(0.0, 1 - step / steps), 1)
    return PlannedTraining(
        adapter=job.out.name,
        persona=job.persona.code,
        control=config.control,
        seed=config.seed,
        folder=str(job.out),
        base=job.base.name,
        trainer=job.trainer.name,
        pairs=len(job.pairs),
        heldout=len(job.heldout),
        steps=steps,
        done=done,
        step=step,
        seconds_left=left,
    )


def _newest_step(job: Job) -> int:
    """The step of the newest whole checkpoint that a stopped training left."""
    partial = partial_of(job.out)
    marker = partial / "identity.json"
    if not marker.is_file() or read_json(marker) != job.identity:
        return 0
    marks = partial.glob(f"checkpoints/checkpoint-*/{WHOLE}")
    return max((int(mark.parent.name.rpartition("-")[2]) for mark in marks), default=0)


def _cards_here(parents: Iterable[Path]) -> Iterable[dict[str, Any]]:
    """The run cards of adapters that were trained on a machine like this one."""
    here = hardware()
    places = [(parent, "*") for parent in parents] + [(Path(), place) for place in PLACES]
    files = {path.resolve() for folder, pattern in places for path in folder.glob(f"{pattern}/{RUN_CARD}")}
    for path in sorted(files):
        try:
            card = read_record(path, RUN_CARD_SCHEMA)
        except LapdError:
            continue
        if card.get("hardware") == here:
            yield card


def _seconds(job: Job, cards: Sequence[dict[str, Any]], steps: int) -> float | None:
    """How long the whole training takes: as long a pair as the earlier ones that are the most like it in size."""
    seen = steps * job.config.batch_size * job.config.grad_accum
    known: dict[int, list[float]] = {}
    for card in cards:
        if card["base"]["digest"] in job.base.digests and card.get("trainer", {}).get("name") == job.trainer.name:
            known.setdefault(_seen(card["settings"]), []).append(card["seconds"])
    if not known:
        return None
    nearest = min(known, key=lambda pairs: abs(math.log(pairs / seen)))
    return mean(known[nearest]) * seen / nearest


def _seen(settings: dict[str, Any]) -> int:
    """How many pairs a training has seen, repeated ones included."""
    return int(settings.get("steps", 1) * settings["batch_size"] * settings["grad_accum"])
