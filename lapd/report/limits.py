"""What a run cannot show, from what is in it and what is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lapd.compare.comparisons import Comparison
from lapd.compare.rows import TRAINING
from lapd.compare.verdicts import UNTOLD
from lapd.record.cells import SERVED_DTYPE
from lapd.record.likeness import read_otherwise
from lapd.report.contents import RunContents
from lapd.report.table import told_of


def limits(run: RunContents, rows: Sequence[Comparison]) -> list[str]:
    """What the run cannot show, in sentences.

    Args:
        run: what it holds.
        rows: its comparisons.
    """
    found = []
    if names := _without_control(run, rows):
        whom = "" if len(names) == len(run.adapters) else f" for {', '.join(names)}"
        found.append(
            f"There is no control adapter in this run{whom} (one trained in the same way on the persona's pairs, "
            "shuffled so that their sides say nothing of the trait). What moved may come from the trait or from "
            "training as such: this run cannot tell which."
        )
    if _trained_once(run, rows):
        found.append(
            "Each adapter is one training run. The intervals cover the choice of items, not what another training "
            "seed would have given."
        )
    if _silent(rows):
        found.append(
            "The base does not report on itself: what it answers hardly depends on what it is asked. That its "
            "questionnaire did not move says nothing of what it does."
        )
    if short := _short(rows):
        found.append(
            f"Of {len(short)} of {len(_primary(rows))} primary metrics it cannot be told with so many items: a change "
            f"beyond the margin could have stayed unseen in {', '.join(dict.fromkeys(row.task for row in short))}."
        )
    return [*found, *_of_cells(run)]


def badges(run: RunContents, rows: Sequence[Comparison]) -> list[str]:
    """The same in a few words each."""
    cells = [cell.result["cell"] for cell in run.cells]
    found = {
        "no shuffled control": bool(_without_control(run, rows)),
        "one training each" if len(run.adapters) > 1 else "one training": _trained_once(run, rows),
        "base does not report on itself": _silent(rows),
        f"too few items for {len(_short(rows))} of {len(_primary(rows))}": bool(_short(rows)),
        "first documents only": any(cell["limit"] is not None and not cell.get("balanced") for cell in cells),
        "a draw of the items": any(cell.get("balanced") for cell in cells),
        "reduced precision": bool({cell["dtype"] for cell in cells} - {"float32", SERVED_DTYPE}),
        "a server's answers": any(cell["dtype"] == SERVED_DTYPE for cell in cells),
    }
    return [words for words, holds in found.items() if holds]


def _primary(rows: Sequence[Comparison]) -> list[Comparison]:
    """The rows that sum tasks of a trait or a cost up, of trainings in place of their single adapters."""
    return [row for row in told_of(rows) if row.primary and not row.special and row.side in ("trait", "cost")]


def _short(rows: Sequence[Comparison]) -> list[Comparison]:
    """The primary rows of which it cannot be told for want of items."""
    return [row for row in _primary(rows) if row.verdict == UNTOLD and not row.why and not row.heuristic]


def _silent(rows: Sequence[Comparison]) -> bool:
    """Whether a questionnaire's items have much the same answer from the base: they differ by less than a margin."""
    asked = [row for row in rows if row.primary and row.self_report and row.unit == "points" and row.margin]
    return bool(asked) and all(row.spread < (row.margin or 0.0) for row in asked)


def _trained_once(run: RunContents, rows: Sequence[Comparison]) -> bool:
    """Whether there are adapters, and no row is about trainings."""
    return bool(run.adapters) and not any(row.scope == TRAINING and len(row.arms) > 1 for row in rows)


def _without_control(run: RunContents, rows: Sequence[Comparison]) -> list[str]:
    """The adapters that are held against no shuffled control of their own persona; another control does not count."""
    cards = {used.digest: used.card or {} for used in run.adapters}
    arms = {name: arm for name, arm in run.record["arms"].items() if arm["adapter"]}
    controls = {
        name: str(arm.get("adapter_control") or cards[arm["adapter"]["digest"]].get("control") or "")
        for name, arm in arms.items()
    }
    shuffled = {name for name, control in controls.items() if control.partition("-")[0] == "shuffled"}
    controlled = [row for row in rows if shuffled.issuperset(row.baselines)]
    held = {arms[arm]["adapter"]["name"] for row in controlled for arm in row.arms}
    trained = {arm["adapter"]["name"]: None for name, arm in arms.items() if not controls[name]}
    return [name for name in trained if name not in held]


def _of_cells(run: RunContents) -> list[str]:
    """What its settings, and cells that are not finished, leave open."""
    found = []
    cells = [cell.result["cell"] for cell in run.cells]
    for drawn, words in ((False, "the first documents"), (True, "a draw of the items, balanced over their parts,")):
        kind = [cell for cell in run.cells if bool(cell.result["cell"].get("balanced")) == drawn]
        limited = {cell.task: number for cell in kind if (number := cell.result["cell"]["limit"]) is not None}
        if limited:
            whom = "each task" if all(cell["limit"] for cell in cells) else ", ".join(limited)
            numbers = _either(sorted(set(limited.values())))
            what = "--limit" if not drawn else "documents:"
            found.append(f"Only {words} of {whom} {'was' if drawn else 'were'} used ({what} {numbers}).")
    dtypes = {cell["dtype"] for cell in cells}
    if SERVED_DTYPE in dtypes:
        found.append("The answers came from a server: its weights and their precision are known by their names only.")
    if reduced := dtypes - {"float32", SERVED_DTYPE}:
        found.append(
            f"Scores were computed in {_either(sorted(reduced))}, which hides much of what a small adapter changes."
        )
    found += read_otherwise(run.cells)
    if run.unfinished:
        found.append(f"{run.unfinished} of the run's cells are not finished, and are left out.")
    return found


def _either(values: Iterable[Any]) -> str:
    return " or ".join(map(str, values))
