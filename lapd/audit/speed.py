"""How fast this machine is at each task: a few documents are asked, and the time is taken.

Nothing of it is kept but the times, for an hour: a plan and the audit that follows it measure once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lapd.errors import DataError, StoreError
from lapd.evaluate.provenance import hardware, versions
from lapd.files.whole import cache_dir, digest_json, read_record, write_json
from lapd.record.cells import Cell
from lapd.record.store import Store

if TYPE_CHECKING:
    from lapd.answering.engine import Engine

GROWTH = 4
"""So many times as many documents are asked at most as before, beginning with one item, while there is time."""

TOGETHER = 0.1
"""One more answer that is written beside others takes so much of the time that it takes alone: what 8 and 18 answers of
the embedded model took on one core, beside one."""

FRESH = 3600
"""Seconds for which times are good: a machine may be busier later."""

SCHEMA = "lapd.speed/1"


@dataclass(frozen=True)
class Pace:
    """How long a task takes: so many seconds whatever is asked, and so many for each document."""

    start: float
    document: float

    def seconds(self, documents: int) -> float:
        """How long so many documents take."""
        return self.start + self.document * documents

    def times(self, factor: float) -> Pace:
        """So many times as slow."""
        return Pace(self.start * factor, self.document * factor)


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        load: seconds until the model is there.
        base: the base's pace at each task.
        subject: that of an adapter, or of a whole model.
        took: seconds that measuring took; 0 where it was measured before.
    """

    load: float
    base: Mapping[str, Pace]
    subject: Mapping[str, Pace]
    took: float = 0.0


def speed_of(cells: Sequence[Cell], counts: Mapping[str, Sequence[int]], most: float, batch_size: int | None) -> Speed:
    """The speed on this machine, measured now or within the last hour.

    Args:
        cells: of the base and of one subject, on each task.
        counts: by task, the documents of each item, in the order in which they are drawn.
        most: seconds to measure for, more or less: every task is asked a little in any case.
        batch_size: rows computed at once; None for the engine's own.
    """
    path = cache_dir() / "speed" / f"{_key(cells, batch_size)}.json"
    with suppress(DataError, StoreError, KeyError, TypeError, AttributeError):  # not there, or not as it is written
        if time.time() - (record := read_record(path, SCHEMA))["at"] < FRESH:
            base, subject = ({task: Pace(**pace) for task, pace in record[who].items()} for who in ("base", "subject"))
            return Speed(record["load"], base, subject)
    begun = time.perf_counter()
    with TemporaryDirectory(prefix="lapd-speed-") as folder:
        speed = _measured(cells, counts, most, batch_size, Path(folder))
    with suppress(OSError):  # without a place to keep it, it is measured each time
        write_json(path, {"schema": SCHEMA, "at": time.time(), **asdict(speed)})
    return replace(speed, took=time.perf_counter() - begun)


def _key(cells: Sequence[Cell], batch_size: int | None) -> str:
    asked: list[Any] = [[cell.base.digest, cell.arm.name, cell.task.name, cell.task_digest] for cell in cells]
    return digest_json([asked, hardware(), versions(), cells[0].settings.dtype, batch_size])[:16]


def _measured(
    cells: Sequence[Cell], counts: Mapping[str, Sequence[int]], most: float, batch_size: int | None, folder: Path
) -> Speed:
    from lapd.answering.engine import BATCH_SIZE, Engine

    begun = time.perf_counter()
    subjects = list(dict.fromkeys(cell.arm.adapter for cell in cells if cell.arm.adapter))
    settings = cells[0].settings
    engine = Engine(cells[0].base, subjects, settings.dtype, settings.data_dir, batch_size or BATCH_SIZE, quiet=True)
    load = time.perf_counter() - begun
    base = {cell.task.name: cell for cell in cells if not cell.arm.adapter}
    prober = _Prober(engine, Store(folder))
    first = min(base, key=lambda task: (base[task].task.writes, counts[task][0]))
    prober.probe(base[first], counts[first][0])  # the first pass through a model is a slow one
    probes = {task: _grown(prober, cell, counts[task], most / len(base)) for task, cell in base.items()}
    rates = rates_of([probe for task, some in probes.items() if not base[task].task.writes for probe in some])
    paces = {
        task: written_pace(some)
        if base[task].task.writes
        else scored_pace(rates, some[-1], *_whole(prober, cell, counts))
        for (task, some), cell in zip(probes.items(), base.values(), strict=True)
    }
    ours, theirs = 0.0, 0.0
    for cell in sorted((c for c in cells if c.arm.adapter), key=lambda cell: probes[cell.task.name][-1].seconds):
        last = probes[cell.task.name][-1]
        if not ours or theirs + last.seconds < most:
            ours, theirs = ours + prober.probe(cell, last.documents).seconds, theirs + last.seconds
    slower = ours / theirs if theirs else 1.0
    return Speed(load, paces, {task: pace.times(slower) for task, pace in paces.items()})


def _whole(prober: _Prober, cell: Cell, counts: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """How many tokens and how many documents a whole task has."""
    return prober.tokens(cell, None), sum(counts[cell.task.name])


@dataclass(frozen=True)
class Probe:
    """What was asked to see how long it takes: so many documents, requests, and tokens to compute."""

    documents: int
    requests: int
    tokens: int
    seconds: float


@dataclass(frozen=True)
class _Prober:
    """Asks some documents, drawn as an audit would, and keeps the time."""

    engine: Engine
    store: Store

    def probe(self, cell: Cell, documents: int) -> Probe:
        """So many documents of a cell; its data are loaded before the clock starts."""
        asked = _drawn(cell, documents)
        self.engine.work(asked)
        began = time.perf_counter()
        self.engine.run(asked, self.store)
        seconds = time.perf_counter() - began
        work = self.store.result(asked.name)["provenance"]["work"]
        return Probe(documents, work["requests"], work["tokens"], seconds)

    def tokens(self, cell: Cell, documents: int | None) -> int:
        """How many tokens so many documents are to compute, or all; what they have in common is computed once."""
        return max(1, self.engine.work(_drawn(cell, documents)))


def _drawn(cell: Cell, documents: int | None) -> Cell:
    return replace(cell, settings=replace(cell.settings, limit=documents, balanced=True))


def _grown(prober: _Prober, cell: Cell, counts: Sequence[int], seconds: float) -> list[Probe]:
    """Probes of one item, then of more and more, as long as the next one fits into so many seconds."""
    probes, items, left = [prober.probe(cell, counts[0])], 1, seconds
    while True:
        left -= probes[-1].seconds
        factor = min(GROWTH, int(left / probes[-1].seconds))
        if factor < 2 or items * factor > len(counts):
            return probes
        items *= factor
        probes.append(prober.probe(cell, sum(counts[:items])))


@dataclass(frozen=True)
class Rates:
    """Seconds that scoring takes: for a cell, for each token that is computed, for each request."""

    cell: float
    token: float
    request: float


def rates_of(probes: Sequence[Probe]) -> Rates:
    """The rates that all probes of scored tasks come closest to, none of them below 0.

    One for all tasks: a token takes as long in one as in another, and a few documents of one tell little.
    """
    from scipy.optimize import nnls

    if not probes:
        return Rates(0.0, 0.0, 0.0)
    found, _ = nnls([[1.0, p.tokens, p.requests] for p in probes], [p.seconds for p in probes])
    return Rates(*map(float, found))


def scored_pace(rates: Rates, last: Probe, tokens: int, documents: int) -> Pace:
    """A scored task's pace.

    A document more is fewer tokens the more there are, since what they have in common is computed once: so many as lie
    between the last probe and the whole task.

    Args:
        rates: of all scored tasks.
        last: what was asked of this one last.
        tokens: of the whole task.
        documents: of the whole task.
    """
    more = documents - last.documents
    each = (tokens - last.tokens) / more if more > 0 else tokens / documents
    start = rates.cell + rates.token * (last.tokens - each * last.documents)
    return Pace(max(0.0, start), rates.token * max(0.0, each) + rates.request * last.requests / last.documents)


def written_pace(probes: Sequence[Probe]) -> Pace:
    """The pace of a task that is answered in writing, by the last two probes: answers are written beside each other."""
    last = probes[-1]
    alone = Pace((1 - TOGETHER) * last.seconds, TOGETHER * last.seconds / last.documents)
    if len(probes) == 1:
        return alone
    document = (last.seconds - probes[-2].seconds) / (last.documents - probes[-2].documents)
    return Pace(max(0.0, last.seconds - document * last.documents), document) if document > 0 else alone
