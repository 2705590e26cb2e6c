"""Questionnaires: the shipped ones, and other people's as CSV or JSON with the columns text, axis and key.

A key says for which pole agreement counts. Without one, answers cannot be scored; with one that is not balanced,
whoever agrees with everything comes out as a type, and that type is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.errors import DataError
from lapd.files.rows import first_record, format_of, read_records
from lapd.files.whole import read_json, read_record
from lapd.names import axes, axis_ends, opposite_pole, pack_of
from lapd.personas import axis_tag

SCHEMA = "lapd.questionnaire/1"
COLUMNS = ("text", "axis", "key")
FORMATS = (".csv", ".tsv", ".json", ".jsonl")


@dataclass(frozen=True)
class Item:
    """A questionnaire item.

    Attributes:
        id: unique in its questionnaire.
        axis: such as "E/I".
        facet: what it is about; "" where that is not known.
        statements: first-person statements by the pole that agreement with them counts for: one for each pole of the
            axis in the shipped questionnaires, a single one in most others.
    """

    id: str
    axis: str
    facet: str
    statements: dict[str, str]


@dataclass(frozen=True)
class Questionnaire:
    """The items of a questionnaire, in order."""

    items: tuple[Item, ...]

    @property
    def keyed(self) -> dict[str, dict[str, int]]:
        """How many statements are keyed to each pole, by axis."""
        counts = Counter(pole for item in self.items for pole in item.statements)
        asked = {item.axis for item in self.items}
        return {axis: {pole: counts[pole] for pole in axis_ends(axis)} for axis in axes() if axis in asked}

    def constant_answer(self, agree: bool = True) -> str:
        """The type of whoever agrees (or disagrees) with everything: a letter an axis, "-" where the key is balanced.

        Such as "E-F-"; an axis without items has no letter.
        """
        letters = ""
        for counts in self.keyed.values():
            (first, n), (second, m) = counts.items()
            letters += "-" if n == m else first if (n > m) == agree else second
        return letters

    @property
    def warning(self) -> str:
        """What an unbalanced key does, in one line; "" if it is balanced."""
        if not (agree := self.constant_answer()).strip("-"):
            return ""
        counts = ", ".join(f"{n} for {pole}" for keyed in self.keyed.values() for pole, n in keyed.items())
        return (
            f"The key is not balanced ({counts}): 'agree' everywhere gives {agree}, 'disagree' everywhere "
            f"{self.constant_answer(False)}; the middle everywhere gives no type here, where reversed items are turned "
            f"round, but {agree} where the answers are added up with the key's signs."
        )


def is_questionnaire(path: Path) -> bool:
    """Whether a file is meant as a questionnaire: a record of LAPD's, or rows with `text` and without responses."""
    if format_of(path) not in FORMATS or not path.is_file():
        return False
    if isinstance(record := _object(path), dict):
        return "items" in record or str(record.get("schema", "")).startswith("lapd.questionnaire/")
    first = first_record(path)
    return isinstance(first, dict) and "text" in first and not {"chosen", "rejected", "output"} & first.keys()


def _object(path: Path) -> Any:
    """The JSON object in a file, or None if it is something else."""
    try:
        return read_json(path) if format_of(path) == ".json" else None
    except DataError:
        return None


def read_questionnaire(path: Path) -> Questionnaire:
    """The questionnaire in a file: LAPD's own record, or CSV, JSON or JSON lines with text, axis and key.

    Args:
        path: LAPD's own: schema `lapd.questionnaire/1`. Others: rows with `text`, `axis` ("E/I" or "EI"), `key` (the
            pole for which agreement counts: "E"; "-E" and "I" say that it counts against E) and, if wanted, `id` and
            `facet`; in JSON as a list, or below `items`.

    Raises:
        DataError: the file is missing or in another format; there is no key; a field is missing or wrong.
        StoreError: a newer LAPD wrote it.
    """
    if format_of(path) not in FORMATS:
        raise DataError(path, "a questionnaire is a file.", hint=f"Known: {', '.join(FORMATS)}.")
    record = read_json(path) if format_of(path) == ".json" else None
    if isinstance(record, dict) and "schema" in record:
        return _own(path, read_record(path, SCHEMA))
    rows = enumerate(_items(path, record), 1) if isinstance(record, dict) else read_records(path)
    items = [_single(path, number, row, f"item-{n:03}") for n, (number, row) in enumerate(rows, 1)]
    if not items:
        raise DataError(path, "there is no item in this questionnaire.")
    _refuse_repeats(path, (item.id for item in items), "id")
    _refuse_repeats(path, (text for item in items for text in item.statements.values()), "text")
    return Questionnaire(tuple(items))


def _own(path: Path, record: dict[str, Any]) -> Questionnaire:
    """A `lapd.questionnaire/1` record: balanced by construction, because every item has a statement for either pole."""
    for name in ("licence", "provenance"):
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise DataError(path, f"{name!r} is missing: where the items come from and what may be done with them.")
    items = [_paired(path, number, row) for number, row in enumerate(_items(path, record), 1)]
    if not items:
        raise DataError(path, "there is no item in this questionnaire.")
    _refuse_repeats(path, (item.id for item in items), "id")
    counts = Counter(item.axis for item in items)
    most = max(counts.values())
    if uneven := [axis for axis in pack_of(items[0].axis).ends if counts[axis] != most]:
        raise DataError(path, f"{uneven[0]} has {counts[uneven[0]]} items, not {most}.")
    return Questionnaire(tuple(items))


def _paired(path: Path, number: int, row: Any) -> Item:
    """An item of LAPD's own: a statement for each pole of its axis."""
    if not isinstance(row, dict):
        raise DataError(path, f"an item is an object, not {type(row).__name__}.", number)
    if missing := [name for name in Item.__dataclass_fields__ if name not in row]:
        raise DataError(path, f"an item has no {missing[0]!r}.", number)
    said = row["statements"] if isinstance(row["statements"], dict) else {}
    ends = next((axis.ends for axis in axes().values() if axis.id == row["axis"]), ())
    if not ends or said.keys() != set(ends) or not all(_filled(text) for text in said.values()):
        raise DataError(path, f"item {row['id']!r} has not a statement for each pole of {row['axis']!r}.", number)
    if len({text.strip() for text in said.values()}) == 1:
        raise DataError(path, f"item {row['id']!r} has one statement for both poles of {row['axis']!r}.", number)
    return Item(str(row["id"]), row["axis"], str(row["facet"] or ""), {pole: said[pole] for pole in ends})


def _items(path: Path, record: dict[str, Any]) -> list[Any]:
    if not isinstance(items := record.get("items"), list):
        raise DataError(path, "there is no list of `items`.")
    return items


def _single(path: Path, number: int, row: Any, default_id: str) -> Item:
    """An item of somebody else's: one statement, keyed to one pole."""
    if not isinstance(row, dict):
        raise DataError(path, f"an item is an object with {', '.join(COLUMNS)}, not {type(row).__name__}.", number)
    if not _filled(row.get("key")):
        hint = "Fill in `key`: a pole, such as E, or -E where agreement counts against it."
        raise DataError(path, "there is no key, so nobody can say which pole agreement counts for.", number, hint)
    for name in COLUMNS:
        if not _filled(row.get(name)):
            raise DataError(path, f"{name!r} is missing or empty.", number, f"An item has {', '.join(COLUMNS)}.")
    axis = _axis(row["axis"])
    if axis is None:
        raise DataError(path, f"there is no axis {row['axis']!r}.", number, f"Known: {', '.join(axes())}.")
    sign, key = _key(row["key"])
    ends = axes()[axis].ends
    pole = next((end for end in ends if end.upper() == key), None)
    if pole is None:
        raise DataError(path, f"the key {row['key']!r} is no pole of {axis}.", number, f"Known: {', '.join(ends)}.")
    pole = opposite_pole(pole) if sign == "-" else pole
    ident = row["id"] if row.get("id") not in (None, "") else default_id
    return Item(str(ident), axis, str(row.get("facet") or ""), {pole: row["text"].strip()})


def _axis(text: str) -> str | None:
    """The axis that is meant: by its name in any case, or by its poles' letters in any order ("E/I", "ei", "IE")."""
    letters = axis_tag(text).upper()
    for axis in axes().values():
        short = all(len(end) == 1 for end in axis.ends)
        if axis_tag(axis.id).upper() == letters or (short and sorted(axis.ends) == sorted(letters)):
            return axis.id
    return None


def _key(key: str) -> tuple[str, str]:
    """A key's sign and pole: "-E" and "\u2212e" are ("-", "E")."""
    text = key.strip().upper().replace("\u2212", "-")
    sign = "-" if text.startswith("-") else "+"
    return sign, text.lstrip("+-").strip()


def _filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _refuse_repeats(path: Path, values: Iterable[str], what: str) -> None:
    value, count = Counter(values).most_common(1)[0] if (values := list(values)) else ("", 0)
    if count > 1:
        raise DataError(path, f"the {what} {value!r} is there {count} times.")
