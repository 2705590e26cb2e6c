"""The small audit: as many items as fit into its time, asked of a model in training and held against its base."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lapd.answering.documents import forgive_aggregates
from lapd.audit.live import LiveModel, Samples
from lapd.catalog.balance import items_in_turn
from lapd.catalog.groups import find_tasks
from lapd.catalog.live import load_task
from lapd.catalog.task import TaskInfo
from lapd.compare.items import asked_items, coherence_of_tasks
from lapd.compare.measured import Measured
from lapd.compare.rows import Comparison
from lapd.compare.values import run_values, with_differences
from lapd.errors import UsageError
from lapd.personas import Persona
from lapd.record.coherence import among_diagnostics
from lapd.record.reading import ReadCell
from lapd.record.store import Store
from lapd.statistics.paired import FEWEST

MODEL, BASE = "model", "base"

FIRST, MOST = 4, 64
"""Items of each task that are asked at first, and in all; in between their number is doubled while there is time."""

TOLD = ("repeated_4grams", "base_logprob")
"""What is told of written answers: how they repeat themselves, and how likely the base finds them."""


class SmallAudit:
    """A few dozen items of some tasks, the same ones each time.

    Args:
        live: the model.
        tasks: names of registered tasks or lm-eval's own.
        persona: whose poles count; None tells of each axis.
        seconds: that one audit may take.
        tokenizer: the folder of the model's tokenizer, for tasks that count tokens.
        seed: of the draw of items.

    Raises:
        UnknownNameError: there is no such task.
        UsageError: a task needs a judge or somebody's pairs.
        DataError: a task's data cannot be had.
    """

    def __init__(
        self, live: LiveModel, tasks: Sequence[str], persona: Persona | None, seconds: float, tokenizer: str, seed: int
    ) -> None:
        self.live, self.persona, self.seconds = live, persona, seconds
        self.infos = {info.name: info for info in find_tasks(tasks, quiet=True)}
        for info in self.infos.values():
            if info.judged or info.pairs:
                what = "a judge" if info.judged else "pairs of one's own"
                raise UsageError(f"{info.name} needs {what}, which an audit in training has not.", "Leave it out.")
        self._tasks = {name: load_task(info, tokenizer=tokenizer) for name, info in self.infos.items()}
        self._turns: dict[str, list[list[int]]] = {}
        for name, task in self._tasks.items():
            forgive_aggregates(task)
            self._turns[name] = items_in_turn(task.eval_docs, self.infos[name].item, seed, name)
        self.items = MOST
        self.base: dict[str, Samples] | None = None

    def begin(self) -> dict[str, Samples]:
        """Ask the base, which settles how many items there is time for; returns what it answered.

        Raises:
            UsageError: the time is too short for as many items as any test needs.
        """
        with self.live.base():
            self.base = self.ask()
        if self.items < FEWEST:
            what = f"An audit of {self.seconds:.0f} seconds has room for {self.items} items of each task here"
            hint = "Give it more minutes, or fewer tasks."
            raise UsageError(f"{what}, and {FEWEST} are the fewest that can tell anything.", hint)
        return self.base

    def ask(self) -> dict[str, Samples]:
        """Ask the model its items, in growing parts for as long as there is time; the rest is left out."""
        found: dict[str, Samples] = {name: [] for name in self.infos}
        taken, began, pace = 0, time.monotonic(), 0.0
        while taken < self.items:
            left = self.seconds - (time.monotonic() - began)
            more = min(taken or FIRST, self.items - taken, math.floor(left / pace) if pace else FIRST)
            if more < 1:
                break
            asked = time.monotonic()
            for name, info in self.infos.items():
                if part := sorted(n for item in self._turns[name][taken : taken + more] for n in item):
                    found[name] += self.live.ask(info, self._tasks[name], part)
            pace, taken = (time.monotonic() - asked) / more, taken + more
        if self.base is None:
            self.items = taken
        return found

    def logs(self, found: Mapping[str, Samples]) -> dict[str, float]:
        """What is logged: each primary metric's level, and beside a base its change with a 95 % interval.

        Args:
            found: from `ask` or `begin`.

        Returns:
            By name, such as "situations/log_odds_towards/change"; "items" is how many of each task there were.
        """
        cells = [*_cells(MODEL, found), *_cells(BASE, self.base or found)]
        logs: dict[str, float] = {}
        for row in self._rows(cells):
            where = f"{row.task}/{row.metric}"
            logs[f"{where}/level"] = row.arm_mean
            if self.base is not None:
                ends = {"change": row.difference, "low": row.low, "high": row.high}
                logs |= {f"{where}/{name}": value for name, value in ends.items() if math.isfinite(value)}
        asked = [len({sample["item"] for sample in samples}) for samples in found.values()]
        return {**logs, "items": float(max(asked, default=0))}

    def _rows(self, cells: list[ReadCell]) -> Iterator[Comparison]:
        """The rows that sum the tasks up, and what the written answers are like."""
        measures, infos = coherence_of_tasks(cells), dict[str, TaskInfo]()
        for name, info in self.infos.items():
            infos[name] = among_diagnostics(info, measures.get(name, ()))
        persona = self.persona
        poles = {"adapter_persona": persona.code, "adapter_poles": persona.poles} if persona else {}
        arm = {"adapter": None, "adapter_persona": None, "prompt": None, "baseline": None}
        measured = Measured(
            store=Store(Path()),
            arms={BASE: arm, MODEL: {**arm, **poles, "baseline": BASE}},
            cells=cells,
            values=with_differences(run_values(cells), infos),
            infos=infos,
            coherence=measures,
            graders={},
            asked=asked_items(cells),
        )
        for pairing in measured.pairings():
            yield from (row for row in pairing.rows() if not row.special and (row.primary or row.metric in TOLD))


def _cells(arm: str, found: Mapping[str, Samples]) -> list[ReadCell]:
    entries = [({"arm": arm, "task": task, "seed": 0, "cell": ""}, samples) for task, samples in found.items()]
    return [ReadCell(entry, {}, samples, None) for entry, samples in entries if samples]
