"""How fast this machine is at each task: a few documents are asked, and the time is taken.

Nothing of it is kept but the times, for an hour: a plan and the audit that follows it measure once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lapd.evaluate.provenance import hardware, versions
from lapd.files.whole import cache_dir, digest_json, read_record, write_json
from lapd.record.cells import Cell
from lapd.record.store import Store

if TYPE_CHECKING:
    from lapd.answering.engine import Engine

MOST = 48
"""So many documents of each task are asked at most: one item, then as many as there is time for."""

TOGETHER = 0.3
"""One more answer that is written beside others takes so much of the time that it takes alone, on two cores."""

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


def speed_of(cells: Sequence[Cell], items: Mapping[str, int], most: float, batch_size: int | None) -> Speed:
    """The speed on this machine, measured now or within the last hour.

    Args:
        cells: of the base and of one subject, on each task.
        items: how many documents an item of each task has.
        most: seconds to measure for, more or less: every task is asked a little in any case.
        batch_size: rows computed at once; None for the engine's own.
    """
    path = cache_dir() / "speed" / f"{_key(cells, batch_size)}.json"
    if path.is_file() and time.time() - (record := read_record(path, SCHEMA))["at"] < FRESH:
        base, subject = ({task: Pace(**pace) for task, pace in record[who].items()} for who in ("base", "subject"))
        return Speed(record["load"], base, subject)
    begun = time.perf_counter()
    with TemporaryDirectory(prefix="lapd-speed-") as folder:
        speed = _measured(cells, items, most, batch_size, Path(folder))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"schema": SCHEMA, "at": time.time(), **asdict(speed)})
    return replace(speed, took=time.perf_counter() - begun)


def _key(cells: Sequence[Cell], batch_size: int | None) -> str:
    asked: list[Any] = [[cell.base.digest, cell.arm.name, cell.task.name, cell.task_digest] for cell in cells]
    return digest_json([asked, hardware(), versions(), cells[0].settings.dtype, batch_size])[:16]


def _measured(
    cells: Sequence[Cell], items: Mapping[str, int], most: float, batch_size: int | None, folder: Path
) -> Speed:
    from lapd.answering.engine import BATCH_SIZE, Engine

    begun = time.perf_counter()
    subjects = list(dict.fromkeys(cell.arm.adapter for cell in cells if cell.arm.adapter))
    settings = cells[0].settings
    engine = Engine(cells[0].base, subjects, settings.dtype, settings.data_dir, batch_size or BATCH_SIZE, quiet=True)
    load = time.perf_counter() - begun
    base = {cell.task.name: cell for cell in cells if not cell.arm.adapter}
    probe = _Probe(engine, Store(folder))
    first = min(base, key=lambda task: (base[task].task.writes, items[task]))
    probe(base[first], items[first])  # the first pass through a model is a slow one
    paces, several = dict[str, Pace](), dict[str, tuple[int, float]]()
    for task, cell in base.items():
        one = probe(cell, items[task])
        number = min(MOST // items[task], int(most / len(base) / one)) * items[task]
        several[task], paces[task] = (items[task], one), _alone(one, items[task], cell.task.writes)
        if number > items[task]:
            several[task] = number, probe(cell, number)
            paces[task] = line(items[task], one, *several[task])
    ratios = dict[str, float]()
    left = most
    for cell in sorted((c for c in cells if c.arm.adapter), key=lambda cell: several[cell.task.name][1]):
        number, seconds = several[task := cell.task.name]
        if not ratios or seconds < left:
            ratios[task] = probe(cell, number) / seconds
            left -= ratios[task] * seconds
    usual = median(ratios.values()) if ratios else 1.0
    return Speed(load, paces, {task: pace.times(ratios.get(task, usual)) for task, pace in paces.items()})


@dataclass(frozen=True)
class _Probe:
    """Asks some documents, and keeps the time."""

    engine: Engine
    store: Store

    def __call__(self, cell: Cell, documents: int) -> float:
        """Seconds that so many take, drawn as an audit would; its data are loaded before the clock starts."""
        asked = replace(cell, settings=replace(cell.settings, limit=documents, balanced=True))
        self.engine.work(asked)
        began = time.perf_counter()
        self.engine.run(asked, self.store)
        return time.perf_counter() - began


def _alone(seconds: float, documents: int, written: bool) -> Pace:
    """The pace by one measurement."""
    shared = 1 - TOGETHER if written else 0.0
    return Pace(shared * seconds, (1 - shared) * seconds / documents)


def line(few: int, small: float, many: int, large: float) -> Pace:
    """The pace by two measurements; where the larger took no longer, all of it is put down to its documents.

    Args:
        few, small: documents and seconds of the smaller.
        many, large: of the larger.
    """
    document = (large - small) / (many - few)
    if document <= 0:
        return Pace(0.0, large / many)
    return Pace(max(0.0, small - document * few), document)
