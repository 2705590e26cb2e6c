"""Which pairs the task `own_pairs` asks in a run: those that its adapters' training was kept from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lapd.adapters.adapter import KEPT_PAIRS, Adapter
from lapd.catalog.task import TaskInfo
from lapd.errors import DataError, UsageError
from lapd.files.whole import digest_file


def with_pairs(infos: Iterable[TaskInfo], adapters: Iterable[Adapter], pairs: str | None) -> list[TaskInfo]:
    """The tasks, those that ask pairs of one's own with the file that they ask.

    Args:
        infos: the tasks.
        adapters: the run's.
        pairs: a file that was named; None takes the pairs that the adapters' training was kept from.

    Raises:
        UsageError: a file was named that no task asks; or none was, and the adapters have none, or different ones.
        DataError: there is no such file.
    """
    infos = list(infos)
    if not any(info.pairs for info in infos):
        if pairs:
            raise UsageError("None of the tasks asks pairs of one's own.", "Ask for the task own_pairs.")
        return infos
    asked = _named(pairs) if pairs else _kept(adapters)
    return [replace(info, asked=asked) if info.pairs else info for info in infos]


def _named(pairs: str) -> Path:
    path = Path(pairs).expanduser().resolve()
    if not path.is_file():
        raise DataError(pairs, "there is no such file of pairs.")
    return path


def _kept(adapters: Iterable[Adapter]) -> Path:
    found = {
        digest_file(path): (adapter.name, path) for adapter in adapters if (path := adapter.path / KEPT_PAIRS).is_file()
    }
    if not found:
        hint = "Train one with `lapd train NAME --dataset FILE` (ten pairs at least), or name pairs with --pairs FILE."
        raise UsageError("own_pairs asks pairs that training was kept from, and no adapter here has any.", hint)
    if len(found) > 1:
        names = " and ".join(sorted(name for name, _ in found.values())[:2])
        hint = "Evaluate them apart, or name the pairs for all with --pairs FILE."
        raise UsageError(f"{names} were trained on different data sets: own_pairs asks one.", hint)
    ((_, path),) = found.values()
    return path
