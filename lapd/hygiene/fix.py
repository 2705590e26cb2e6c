"""Mending pairs files where no judgement is needed: spaces, empty texts, identical pairs, repeated prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lapd.errors import DataError, UsageError
from lapd.files.plain import as_json
from lapd.files.text import is_whole
from lapd.files.whole import write_jsonl
from lapd.hygiene.similarity import normalised
from lapd.pairs.forms import Row
from lapd.pairs.messages import Turn, context_of
from lapd.pairs.pair import PreferencePair, make_pair, record_of, texts_of, write_pairs
from lapd.pairs.readers import Fields, read_rows


@dataclass(frozen=True)
class Fixed:
    """What became of a file's rows.

    Attributes:
        kept: the pairs, in order, without spaces at the ends.
        trimmed: how many of them had such spaces.
        dropped: the other rows, each with the reason.
        refused: the number, the record and the reason of each that is no row at all, where such were to be left out.
    """

    kept: list[PreferencePair]
    trimmed: int
    dropped: list[tuple[Row, str]]
    refused: list[tuple[int, Any, str]]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were dropped for each reason, whichever row they repeat."""
        dropped = (reason.partition(" of line ")[0] for _, reason in self.dropped)
        return dict(Counter([*dropped, *("no pair" for _ in self.refused)]))


def fix_rows(rows: Iterable[Row]) -> Fixed:
    """Drop what is no pair, and all but the first pair of a prompt (and of what was said before it)."""
    fixed = Fixed([], 0, [], [])
    trimmed = 0
    first: dict[str, int] = {}
    for row in rows:
        stripped = _stripped(row)
        texts = texts_of(stripped)
        key = normalised(context_of(row.system, row.history, row.prompt))
        if empty := [name for name, text in texts.items() if not text]:
            fixed.dropped.append((row, f"empty {empty[0]}"))
        elif broken := [name for name, text in texts.items() if not is_whole(text)]:
            fixed.dropped.append((row, f"half a character in {broken[0]}"))
        elif normalised(row.chosen) == normalised(row.rejected):
            fixed.dropped.append((row, "identical chosen and rejected"))
        elif key in first:
            fixed.dropped.append((row, f"repeated prompt of line {first[key]}"))
        else:
            first[key] = row.number
            fixed.kept.append(make_pair("", stripped))
            trimmed += stripped != row
    return replace(fixed, trimmed=trimmed)


def _stripped(row: Row) -> Row:
    texts = {name: getattr(row, name).strip() for name in ("system", "prompt", "chosen", "rejected")}
    return replace(row, **texts, history=tuple(Turn(turn.role, turn.text.strip()) for turn in row.history))


def dropped_path(out: Path) -> Path:
    """Where the dropped rows of a fixed file go: `pairs.dropped.jsonl` beside `pairs.jsonl`."""
    return out.with_name(f"{out.stem}.dropped.jsonl")


def fix_file(path_or_id: str, out: Path, fields: Fields | None = None, leave_out: bool = False) -> Fixed:
    """Write the pairs of `path_or_id` that can be trained on to `out`, and the others to `dropped_path(out)`.

    Args:
        path_or_id: what `read_rows` reads.
        out: the pairs file to write.
        fields: which fields hold a pair.
        leave_out: drop also the records that are no pair, or of which something would be lost.

    Raises:
        UsageError: one of the two would overwrite the input.
        DataError: as `lapd.pairs.readers.read_rows`; or nothing is left.
    """
    source = Path(path_or_id).expanduser().resolve()
    for target in (out, dropped_path(out)):
        if target.resolve() == source:
            raise UsageError(f"{target} is the input, which is never overwritten.", "Give another -o.")
    refused: list[tuple[int, Any, str]] = []
    fixed = fix_rows(read_rows(path_or_id, fields, refused if leave_out else None))
    fixed.refused.extend(refused)
    if not fixed.kept:
        why = ", ".join(f"{count} {reason}" for reason, count in fixed.reasons.items())
        first = f" (line {refused[0][0]}: {refused[0][2]})" if refused else ""
        raise DataError(path_or_id, f"no pair would be left ({why}){first}.")
    write_pairs(out, fixed.kept)
    write_jsonl(dropped_path(out), _listed(fixed))
    return fixed


def _listed(fixed: Fixed) -> list[dict[str, Any]]:
    """What was dropped, in the order of the rows."""
    rows = [
        {"reason": reason, "number": row.number, **record_of(row, bool(row.system or row.history))}
        for row, reason in fixed.dropped
    ]
    others = [{"reason": reason, "number": number, "record": record} for number, record, reason in fixed.refused]
    listed: list[dict[str, Any]] = as_json([*rows, *others])
    return sorted(listed, key=lambda each: int(each["number"]))
