"""Mending pairs files where no judgement is needed: spaces, empty texts, identical pairs, repeated prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from lapd.errors import DataError, UsageError
from lapd.files.whole import write_jsonl
from lapd.pairs.pair import PreferencePair, write_pairs
from lapd.pairs.readers import Fields, Row, read_rows
from lapd.pairs.similarity import normalised


@dataclass(frozen=True)
class Fixed:
    """What became of a file's rows.

    Attributes:
        kept: the pairs, in order, without spaces at the ends.
        trimmed: how many of them had such spaces.
        dropped: the other rows, each with the reason.
    """

    kept: list[PreferencePair]
    trimmed: int
    dropped: list[tuple[Row, str]]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were dropped for each reason, whichever row they repeat."""
        return dict(Counter(reason.partition(" of line ")[0] for _, reason in self.dropped))


def fix_rows(rows: Iterable[Row]) -> Fixed:
    """Drop what is no pair, and all but the first pair of a prompt."""
    kept: list[PreferencePair] = []
    trimmed = 0
    dropped: list[tuple[Row, str]] = []
    first: dict[str, int] = {}
    for row in rows:
        texts = {name: getattr(row, name).strip() for name in ("prompt", "chosen", "rejected")}
        key = normalised(row.prompt)
        if empty := [name for name, text in texts.items() if not text]:
            dropped.append((row, f"empty {empty[0]}"))
        elif normalised(row.chosen) == normalised(row.rejected):
            dropped.append((row, "identical chosen and rejected"))
        elif key in first:
            dropped.append((row, f"repeated prompt of line {first[key]}"))
        else:
            first[key] = row.number
            kept.append(PreferencePair(**texts, source=row.source))
            trimmed += any(text != getattr(row, name) for name, text in texts.items())
    return Fixed(kept, trimmed, dropped)


def dropped_path(out: Path) -> Path:
    """Where the dropped rows of a fixed file go: `pairs.dropped.jsonl` beside `pairs.jsonl`."""
    return out.with_name(f"{out.stem}.dropped.jsonl")


def fix_file(path_or_id: str, out: Path, fields: Fields | None = None) -> Fixed:
    """Write the pairs of `path_or_id` that can be trained on to `out`, and the others to `dropped_path(out)`.

    Raises:
        UsageError: one of the two would overwrite the input.
        DataError: as `lapd.pairs.readers.read_rows`; or nothing is left.
    """
    source = Path(path_or_id).expanduser().resolve()
    for target in (out, dropped_path(out)):
        if target.resolve() == source:
            raise UsageError(f"{target} is the input, which is never overwritten.", "Give another -o.")
    fixed = fix_rows(read_rows(path_or_id, fields))
    if not fixed.kept:
        why = ", ".join(f"{count} {reason}" for reason, count in fixed.reasons.items())
        raise DataError(path_or_id, f"no pair would be left ({why}).")
    write_pairs(out, fixed.kept)
    write_jsonl(dropped_path(out), ({"reason": reason, **asdict(row)} for row, reason in fixed.dropped))
    return fixed
