"""`lapd export`: a run's documents and comparisons as files for other programs, whole or not at all.

`export.json` stands beside them and says what they are of. By it a later export knows which files it may replace.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd._version import __version__
from lapd.compare.comparisons import compare
from lapd.errors import DataError, StoreError, UnknownNameError, UsageError
from lapd.export.frames import LoadedRun, flat, pandas
from lapd.export.lm_eval_files import write_lm_eval
from lapd.export.tables import latex, markdown
from lapd.files.whole import atomic_folder, make_folder_readable, read_record, write_json, write_text
from lapd.record.store import Store

SCHEMA = "lapd.export/1"
RECORD = "export.json"


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes:
        folder: where.
        files: their paths there.
        notes: what is not in them, in sentences.
    """

    folder: Path
    files: list[str]
    notes: list[str]


def export(
    run: Path, out: Path, kind: str, judge: str | None = None, persona: str | None = None, *, force: bool = False
) -> Exported:
    """Write what a run's finished cells hold in a form that other programs read.

    Args:
        run: the run's folder.
        out: gets the files.
        kind: one of `KINDS`.
        judge: whose verdicts judged tasks are scored by; None for the evaluation's own judge.
        persona: whose poles adapters count towards that have no persona of their own.
        force: write beside what else is in `out`, over files of the same names.

    Raises:
        UnknownNameError: there is no such form.
        UsageError: `out` is a file, or holds something else and `force` is not set.
        StoreError: this is no run, it has no finished cell, or there is nothing to compare for a table.
    """
    if kind not in KINDS:
        raise UnknownNameError("format", kind, KINDS)
    loaded = LoadedRun(run, judge, persona)
    about = {"run": str(run.absolute()), "format": kind, "judge": judge, "persona": persona}
    old = _earlier(out, about, force)
    notes = _unfinished(loaded)
    with _placed(out, old) as folder:
        notes += KINDS[kind](loaded, folder)
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        record = {"schema": SCHEMA, **about, "lapd": __version__, "files": files, "left_out": notes}
        write_json(folder / RECORD, record)
    return Exported(out, files, notes)


def _unfinished(run: LoadedRun) -> list[str]:
    """How much of a run is not finished, in a line."""
    store = Store(run.folder)
    cells = run.record["cells"]
    done = sum(store.is_done(entry["cell"]) for entry in cells.values())
    if not done:
        raise StoreError(f"{run.folder}: no cell is finished.", "Run the evaluation to its end.")
    return [f"Not finished, and left out: {len(cells) - done} of {len(cells)} cells."] if done < len(cells) else []


def _earlier(out: Path, about: dict[str, Any], force: bool) -> list[str]:
    """The files in `out` of an earlier export of the same; refuses whatever else there is."""
    if out.is_file():
        raise UsageError(f"{out} is a file, not a folder.", "Give another -o.")
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} if out.is_dir() else set()
    try:
        record = read_record(out / RECORD, SCHEMA)
    except (DataError, StoreError):
        record = {}
    same = all(record.get(name) == value for name, value in about.items())
    ours = [*record.get("files", []), RECORD] if same else []
    if not force and (others := there.difference(ours)):
        what = f"{out} holds something else ({min(others)})."
        raise UsageError(what, "Give another -o, or --force to write beside it.")
    return sorted(there.intersection(ours))


@contextmanager
def _placed(out: Path, old: Sequence[str]) -> Iterator[Path]:
    """A temporary folder, of which the files are put into `out` when the block succeeds; the record comes last.

    Args:
        out: the folder, if it is there.
        old: the files there that have had their time.
    """
    if not out.exists():
        with atomic_folder(out) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix=".export.", suffix=".tmp", dir=out) as name:
        folder = Path(name)
        yield folder
        make_folder_readable(folder)
        made = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        for path in sorted(made, key=lambda path: path.name == RECORD):
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).replace(out / path)
        for left in {*map(Path, old)} - {*made}:
            (out / left).unlink(missing_ok=True)


def _csv(run: LoadedRun, folder: Path) -> list[str]:
    def write(frame: Any, path: Path) -> None:
        frame.to_csv(path.with_suffix(".csv"), index=False, encoding="utf-8", errors="backslashreplace")

    return _frames(run, folder, write)


def _parquet(run: LoadedRun, folder: Path) -> list[str]:
    return _frames(run, folder, lambda frame, path: frame.to_parquet(path.with_suffix(".parquet"), index=False))


def _frames(run: LoadedRun, folder: Path, write: Callable[[Any, Path], None]) -> list[str]:
    """Both DataFrames as files; without the comparisons where there are none, and why."""
    pandas()
    write(flat(run.samples), folder / "samples")
    try:
        write(flat(run.comparisons), folder / "comparisons")
    except StoreError as error:
        return [f"No comparisons: {error}"]
    return []


def _lm_eval(run: LoadedRun, folder: Path) -> list[str]:
    write_lm_eval(Store(run.folder), run.cells, folder)
    return []


def _latex(run: LoadedRun, folder: Path) -> list[str]:
    compared = compare(run.folder, run.judge, run.persona)
    write_text(folder / "comparisons.tex", latex(compared.rows, compared.notes))
    return []


def _markdown(run: LoadedRun, folder: Path) -> list[str]:
    compared = compare(run.folder, run.judge, run.persona)
    write_text(folder / "comparisons.md", markdown(compared.rows, compared.notes))
    return []


KINDS: dict[str, Callable[[LoadedRun, Path], list[str]]] = {
    "csv": _csv,
    "parquet": _parquet,
    "lm-eval": _lm_eval,
    "latex": _latex,
    "md": _markdown,
}
"""The forms: each writes its files into a folder, and gives what is not in them."""
