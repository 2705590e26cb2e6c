"""A second pass over stored responses: somebody decides on each of them, and nothing is generated again.

Verdicts of judges and grades of graders are both decisions, and are kept alike: beside the responses, in the cell's
folder, as `<prefix>-<label>.jsonl`, one line each. While a pass is at work each decision is kept at once in
`.<prefix>-<label>.partial`; a pass that was cut off goes on from there, and a later one asks only for what is missing.
A decision is on one response, and known by its digest: where a cell was made again and came out with other words, it
counts no longer. (Those of an older LAPD, which kept no digests, go by item.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from lapd.errors import DataError, StoreError, UsageError
from lapd.files.progress import bar
from lapd.files.whole import canonical_json, digest_json, read_jsonl, write_jsonl
from lapd.record.journal import Journal
from lapd.record.store import Store

T = TypeVar("T")

Samples = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Asked:
    """One decision that is asked for.

    Attributes:
        document: the place of the document among the cell's.
        prompt: what was answered.
        response: the answer.
        about: what is decided, where there are several things: a dimension's name.
    """

    document: int
    prompt: str
    response: str
    about: str = ""


@dataclass(frozen=True)
class Form(Generic[T]):
    """How one kind of decision is kept.

    Attributes:
        prefix: what its files' names begin with, and what it is called: "verdicts".
        maker: who makes such, and the name of the field that says who it was: "judge".
        done: what has then been done with a response: "judged".
        read: from an object of a file (path, line, object).
        record: as JSON.
        more: what else is written beside it, from the document and what was asked.
        is_missing: whether it is none yet.
        without: none, for a reason.
    """

    prefix: str
    maker: str
    done: str
    read: Callable[[object, int, Any], T]
    record: Callable[[T], dict[str, Any]]
    more: Callable[[Mapping[str, Any], Asked], dict[str, Any]]
    is_missing: Callable[[T], bool]
    without: Callable[[str], T]

    @property
    def open(self) -> str:
        """The reason of a decision that nobody has made."""
        return f"not {self.done} yet"

    def path(self, folder: Path, label: str) -> Path:
        """The file with the decisions called `label` in a cell's folder.

        Raises:
            UsageError: it cannot be part of a file's name.
        """
        if not re.fullmatch(r"\w[\w.@+-]*", label):
            raise UsageError(f"{label!r} cannot name {self.prefix}.", "Use letters, digits, dots and dashes.")
        return folder / f"{self.prefix}-{label}.jsonl"

    def keep(
        self, path: Path, by: Mapping[str, Any], samples: Samples, asked: Sequence[Asked], made: Sequence[T]
    ) -> None:
        """Write decisions, whole or not at all.

        Args:
            path: the file.
            by: whose they are.
            samples: the cell's documents.
            asked: what was asked, in order.
            made: a decision for each.
        """
        rows = []
        for one, decision in zip(asked, made, strict=True):
            sample = samples[one.document]
            place = {"id": sample["item"], **({"sample": sample["sample"]} if "sample" in sample else {})}
            known = {"response_digest": response_digest(sample), self.maker: by}
            rows.append({**place, **self.more(sample, one), **self.record(decision), **known})
        write_jsonl(path, rows)

    def stored(self, path: Path, samples: Samples) -> tuple[dict[str, Any], list[tuple[Asked, T]]]:
        """Whose the decisions in a file are, and each beside what it is on, in the file's order.

        One on another response than the document has now is missing.

        Raises:
            DataError: it is no such file, or they are on other documents.
        """
        found, rows = [], list(read_jsonl(path))
        for place, (number, row) in enumerate(rows):
            decision = self.read(path, number, row)
            document = row.get("document", place)
            if not isinstance(document, int) or not 0 <= document < len(samples):
                raise self.foreign(path)
            sample = samples[document]
            if row.get("id") != sample["item"]:
                raise self.foreign(path)
            if row.get("response_digest") not in (None, response_digest(sample)):
                decision = self.without(f"{self.open}: the response is another than the one that was {self.done}")
            found.append((Asked(document, "", "", str(row.get("dimension", ""))), decision))
        by = rows[0][1].get(self.maker) if rows else None
        return by if isinstance(by, dict) else {}, found

    def foreign(self, path: Path) -> DataError:
        """The error that a file's decisions are on other documents."""
        hint = f"Delete it, and have them {self.done} again."
        return DataError(path, f"these {self.prefix} are on other documents.", hint=hint)


def response_digest(sample: Mapping[str, Any]) -> str:
    """What a document's response, the one that is decided on, is known by beside its decision."""
    return digest_json(str(sample["responses"][0][0]))[:16]


class CellPass(Generic[T]):
    """Somebody's pass over one cell.

    Args:
        form: what is decided.
        path: the file with the decisions, there or not.
        samples: the cell's documents.
        asked: what is to be decided; those of one dimension stand together.
        by: who decides, as JSON; None leaves open what is open.
        decide: has them decide on some of `asked`, one decision each, in order.

    Raises:
        DataError: the file is damaged, or on other documents.
        StoreError: what is there is somebody else's.
    """

    def __init__(
        self,
        form: Form[T],
        path: Path,
        samples: Samples,
        asked: Sequence[Asked],
        by: dict[str, Any] | None,
        decide: Callable[[Sequence[Asked]], Iterator[T]],
    ) -> None:
        self.form, self.path, self.samples, self.asked = form, path, samples, asked
        self.by, self._decide, self._asks = by or {}, decide, by is not None
        self.made = [form.without(form.open)] * len(asked)
        if path.is_file():
            self._take_over(by)

    def _take_over(self, by: dict[str, Any] | None) -> None:
        self.by, there = self.form.stored(self.path, self.samples)
        if by is not None and self.by != by:
            hint = "Give these another name with --as NAME."
            whose = f"{self.form.prefix} of a {self.form.maker}"
            raise StoreError(f"{self.path} holds the {whose} of other settings.", hint)
        if [(one.document, one.about) for one, _ in there] != [(one.document, one.about) for one in self.asked]:
            raise self.form.foreign(self.path)
        self.made = [decision for _, decision in there]

    @property
    def todo(self) -> int:
        """How many decisions are yet to be made; at most, since some may be in the partial file."""
        return len(self._missing()) if self._asks else 0

    def _missing(self) -> list[int]:
        return [n for n, decision in enumerate(self.made) if self.form.is_missing(decision)]

    def finish(self, on_progress: Callable[[int], Any]) -> None:
        """Have decided what is missing, and keep each decision at once."""
        if not self._asks or (self.path.is_file() and not self.todo):
            return
        partial = self.path.with_name(f".{self.path.stem}.partial")
        plan = [self.by, digest_json([[one.prompt, one.response, one.about] for one in self.asked])]
        with Journal(partial, canonical_json(plan)) as journal:
            for n in self._missing():
                if (record := journal.get(n, 0)) is not None:
                    self.made[n] = self.form.read(partial, n + 2, record)
                    on_progress(1)
            todo = self._missing()
            for n, decision in zip(todo, self._decide([self.asked[n] for n in todo]), strict=True):
                self.made[n] = decision
                if not self.form.is_missing(decision):
                    journal.put(n, 0, self.form.record(decision))
                on_progress(1)
        self.form.keep(self.path, self.by, self.samples, self.asked, self.made)
        partial.unlink()


def run_passes(
    store: Store, cells: Sequence[str], make: Callable[[str], CellPass[T]], label: str, quiet: bool
) -> list[CellPass[T]]:
    """Have what is missing in some cells decided, each while nobody else is at it.

    Args:
        store: the run's.
        cells: their names.
        make: the pass over one of them.
        label: who is at work, for the progress bar.
        quiet: show none.

    Raises:
        StoreError: another process is at one of them, or as `CellPass`.
        LapdError: whoever decides cannot go on. What was decided is kept.
    """
    with ExitStack() as held:
        passes = []
        for cell in cells:
            if not held.enter_context(store.claim(cell)):
                where = store.cell_folder(cell)
                raise StoreError(f"{where}: another process is working on this cell.", "Wait for it.")
            passes.append(make(cell))
        todo = sum(one.todo for one in passes)
        progress = held.enter_context(bar(todo, label, "response", quiet or not todo))
        for one in passes:
            one.finish(progress.update)
    return passes
