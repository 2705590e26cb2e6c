"""Measured results in adapters' model cards: a section that a run's comparisons fill, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lapd._version import __version__
from lapd.adapters.adapter import resolve_adapter
from lapd.compare.comparisons import Comparison
from lapd.errors import LapdError
from lapd.files.whole import write_text
from lapd.record.store import Store
from lapd.report.contents import adapter_folder
from lapd.report.labels import metric_label, moved, shown, unit, unit_of_difference

BEGIN = "<!-- measured by LAPD: begin -->"
END = "<!-- measured by LAPD: end -->"

COLUMNS = (
    "arm",
    "against",
    "task",
    "metric",
    "baseline",
    "arm's",
    "difference",
    "95 % interval",
    "p adjusted",
    "verdict",
    "n",
)


def write_cards(run_folder: Path, rows: list[Comparison]) -> list[Path]:
    """Write what a run measured into the model card of each adapter that LAPD made; an older section gives way.

    Of each comparison the rows that sum each task up are written (see `primary`): a card is no report.

    A folder is left as it is where it is gone, is not LAPD's, or holds other weights than those that were measured;
    and so is a card that says the same already.

    Args:
        run_folder: the run's.
        rows: of `compare_run`.

    Returns:
        The cards that have the section now.

    Raises:
        StoreError: the folder is no run.
    """
    record = Store(run_folder).run()
    cards = []
    for digest in dict.fromkeys(a["digest"] for arm in record["arms"].values() if (a := arm["adapter"])):
        arms = {name: arm for name, arm in record["arms"].items() if (arm["adapter"] or {}).get("digest") == digest}
        chosen = [row for row in primary(rows) if row.arm in arms]
        folders = {adapter_folder(arm["adapter"], run_folder) for arm in arms.values()}
        if chosen:
            others = sum(row.headline and row.arm in arms for row in rows) - len(chosen)
            section = _section(run_folder, chosen, others)
            cards += [_put(path, section) for path in folders if _is_ours(path, digest)]
    return cards


def primary(rows: Sequence[Comparison]) -> list[Comparison]:
    """Of each arm, baseline and task the rows that sum it up; where none does, the first headline row."""
    chosen: dict[tuple[str, str, str], list[Comparison]] = {}
    for row in rows:
        if row.headline:
            chosen.setdefault((row.arm, row.baseline, row.task), []).append(row)
    return [row for group in chosen.values() for row in ([r for r in group if r.primary] or group[:1])]


def _is_ours(folder: Path, digest: str) -> bool:
    try:
        adapter = resolve_adapter(folder)
    except LapdError:
        return False
    return adapter.digest == digest and adapter.card is not None and (folder / "README.md").is_file()


def _put(folder: Path, section: str) -> Path:
    """The folder's card with the section between the marks, or at its end where it has none yet."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2].lstrip("\n") if begin else ""
    new = f"{head.rstrip()}\n\n{BEGIN}\n{section}\n{END}\n" + (f"\n{tail}" if tail else "")
    if new != text:
        write_text(path, new)
    return path


def _section(run_folder: Path, rows: list[Comparison], others: int) -> str:
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *(_line(_cells(row)) for row in rows)]
    notes = dict.fromkeys(row.note for row in rows if row.note)
    more = [f"\nThe primary metric of each task; `lapd compare` shows {others} more."] if others else []
    return "\n".join(["## Measured", "", _how(run_folder), "", *lines, *(f"\n{note}" for note in notes), *more])


def _how(run_folder: Path) -> str:
    """Where the numbers come from and what to know of them."""
    store = Store(run_folder)
    results: list[dict[str, Any]] = [store.result(entry["cell"]) for entry in store.finished()]
    day = max(result["finished"] for result in results)[:10]
    dtypes = " and ".join(sorted({result["cell"]["dtype"] for result in results}))
    limits = sorted({limit for result in results if (limit := result["cell"]["limit"])})
    which = "a draw of" if any(result["cell"].get("balanced") for result in results) else "the first"
    few = f" Only {which} {' or '.join(map(str, limits))} documents of a task were used." if limits else ""
    return (
        f"With LAPD {__version__}, {day}, scored in {dtypes}, paired by item. A row in bold "
        f"has changed by its p after the correction over its family.{few}"
    )


def _cells(row: Comparison) -> list[str]:
    text = shown(row)
    difference = f"{text.difference} {unit_of_difference(row)}".rstrip()
    numbers = [text.baseline, text.arm, difference, text.interval, text.adjusted, text.verdict]
    label = f"{metric_label(row)} ({unit(row)})" if unit(row) else metric_label(row)
    name = f"**{label}**" if moved(row) else label
    return [row.arm, row.baseline, row.task, name, *numbers, str(row.n)]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
