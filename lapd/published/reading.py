"""Reading published rates: a table with a row an arm, in CSV or whatever else is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lapd.errors import DataError, UsageError
from lapd.files.rows import read_records

NAMES = ("name", "arm", "model", "condition", "persona", "adapter", "group", "system", "label")
RATES = ("rate", "share", "proportion", "fraction")
PERCENTS = ("percent", "percentage", "per_cent", "rate_percent", "%")
SUCCESSES = ("successes", "events", "hits", "yes", "k", "x")
SIZES = ("n", "size", "sample_size", "items", "samples", "total")
TABLES = ("benchmark", "task", "dataset", "metric", "table")
BASELINES = ("baseline", "base", "is_baseline")

YES, NO = ("1", "x", "y", "yes", "true", "*"), ("", "0", "-", "n", "no", "false", "none")

HINT = f"Wanted: {NAMES[0]}, {SIZES[0]}, and {RATES[0]} or {SUCCESSES[0]}; also {TABLES[0]}, {BASELINES[0]}."


@dataclass(frozen=True)
class Published:
    """A rate of one arm on one benchmark.

    Attributes:
        table: the benchmark; "" where the file is of one.
        name: the arm's.
        n: the sample's size.
        successes: how many said yes: what was given, or the whole number nearest to the rate of n.
        printed: the rate as it stands in the file; "" where the successes do.
        whole: whether some whole number of n is that rate, as far as it is printed.
        baseline: whether the file marks it as what the others are compared with.
        line: in the file.
    """

    table: str
    name: str
    n: int
    successes: int
    printed: str
    whole: bool
    baseline: bool
    line: int


def read_published(path: Path, percent: bool = False) -> list[Published]:
    """The rates in a file.

    Columns are known by their heads, whatever their case: `name` (or arm, model ...), `n` (or size, items ...), and
    `rate` (or share ...) or `successes`. A lone other column of numbers has the rates too, under the benchmark that it
    names. A rate is a share of 1, or in per cent where it bears the sign or its column's head says so.

    Args:
        path: CSV, or anything else that rows are read from.
        percent: rates without a sign are in per cent.

    Raises:
        DataError: the file is not there, a column is missing, or a row makes no sense; the row is named.
        UsageError: `percent` is set, and rates are plainly shares.
    """
    if not path.is_file():  # what is no file may be a data set of the Hub, or a folder of them: not here
        raise DataError(path, "this is a folder, not a file." if path.is_dir() else "there is no such file.")
    rows = [(line, _with_heads(path, row, line)) for line, row in read_records(path)]
    if not rows:
        raise DataError(path, "there are no rows.", hint=HINT)
    table = _Table.of(path, [row for _, row in rows], percent)
    found = [table.read(row, line) for line, row in rows]
    if percent and table.rates and all(_number(one.printed) <= 1 for one in found):
        raise UsageError(f"{path}: no rate is above 1 per cent.", "Leave --percent out: these are shares.")
    _check_names(path, found)
    return found


def _with_heads(path: Path, row: Any, line: int) -> dict[str, str]:
    if not isinstance(row, Mapping):
        raise DataError(path, "this row is no record with named columns.", line)
    return {
        re.sub(r"[\s-]+", "_", str(head).strip().lower()): "" if cell is None else str(cell).strip()
        for head, cell in row.items()
    }


@dataclass(frozen=True)
class _Table:
    """Which columns a file has, by their heads."""

    path: Path
    names: str
    sizes: str
    rates: str | None
    successes: str | None
    tables: str | None
    baselines: str | None
    lone: bool
    percent: bool

    @classmethod
    def of(cls, path: Path, rows: list[dict[str, str]], percent: bool) -> _Table:
        heads = dict.fromkeys(head for row in rows for head in row)

        def named(known: Iterable[str]) -> str | None:
            return next((name for name in known if name in heads), None)

        rates, successes = named((*RATES, *PERCENTS)), named(SUCCESSES)
        taken = {named(known) for known in (NAMES, SIZES, TABLES, BASELINES)}
        others = [head for head in heads if head not in taken and all(_is_number(row.get(head, "")) for row in rows)]
        lone = not rates and not successes and len(others) == 1
        rates = others[0] if lone else rates
        names, sizes = named(NAMES), named(SIZES)
        if names is None or sizes is None or not (rates or successes):
            lacking = [what for what, column in ((NAMES, names), (SIZES, sizes)) if column is None]
            text = " and ".join([*(known[0] for known in lacking), *([] if rates or successes else [RATES[0]])])
            raise DataError(path, f"there is no column {text} among {', '.join(heads)}.", 1, HINT)
        percent = percent or rates in PERCENTS
        return cls(path, names, sizes, rates, successes, named(TABLES), named(BASELINES), lone, percent)

    def read(self, row: Mapping[str, str], line: int) -> Published:
        name, n = row.get(self.names, ""), self._count(row, self.sizes, line)
        if not name:
            raise DataError(self.path, f"this row has no {self.names}.", line)
        if n < 1:
            raise DataError(self.path, f"{self.sizes} must be at least 1, not {n}.", line)
        table = row.get(self.tables, "") if self.tables else self.rates if self.lone and self.rates else ""
        marked = self._is_marked(row, line)
        printed = row.get(self.rates, "") if self.rates else ""
        rate, step = self._rate(printed, line) if printed or not self.successes else (None, 0.0)
        if self.successes and row.get(self.successes, ""):
            yes = self._count(row, self.successes, line)
            if yes > n:
                raise DataError(self.path, f"{yes} successes are more than {self.sizes}, {n}.", line)
            if rate is not None and not _is_rounded(yes, n, rate, step):
                raise DataError(self.path, f"{yes} of {n} is no rate of {printed}.", line)
            return Published(table, name, n, yes, printed, True, marked, line)
        if rate is None:
            raise DataError(self.path, "this row has neither a rate nor successes.", line)
        yes = round(rate * n)
        return Published(table, name, n, yes, printed, _is_rounded(yes, n, rate, step), marked, line)

    def _count(self, row: Mapping[str, str], column: str, line: int) -> int:
        text = row.get(column, "")
        plain = text.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+", text) else text
        if not re.fullmatch(r"\d+(\.0*)?", plain):
            raise DataError(self.path, f"{column} must be a whole number, not {text!r}.", line)
        return int(float(plain))

    def _rate(self, text: str, line: int) -> tuple[float, float]:
        """A rate as a share of 1, and half a unit of its last digit."""
        if not _is_number(text):
            raise DataError(self.path, f"{text!r} is no rate.", line)
        scale = 100.0 if self.percent or text.endswith("%") else 1.0
        rate = _number(text) / scale
        if not 0 <= rate <= 1:
            hint = "Where rates are in per cent, give --percent, or write the sign." if scale == 1 and rate > 1 else ""
            whole = "1" if scale == 1 else "100 per cent"
            raise DataError(self.path, f"{text} is no rate: it is not between 0 and {whole}.", line, hint)
        decimals = re.search(r"[.,](\d*)", text)
        return rate, 0.5 * 10.0 ** -(len(decimals[1]) if decimals else 0) / scale

    def _is_marked(self, row: Mapping[str, str], line: int) -> bool:
        mark = row.get(self.baselines, "").lower() if self.baselines else ""
        if mark not in (*YES, *NO):
            raise DataError(self.path, f"{self.baselines} is yes or nothing, not {mark!r}.", line)
        return mark in YES


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE]-?\d+)?\s*%?", text) is not None


def _number(text: str) -> float:
    return float(text.rstrip("% ").replace(",", "."))


def _is_rounded(yes: int, n: int, rate: float, step: float) -> bool:
    """Whether yes of n is the rate as far as it is printed: `step` is half a unit of its last digit."""
    return abs(yes / n - rate) <= step + 1e-9


def _check_names(path: Path, found: Collection[Published]) -> None:
    """Refuse two rows of one arm, two baselines, and an arm that has nothing beside it."""
    seen: dict[tuple[str, str], int] = {}
    marked: dict[str, str] = {}
    arms: dict[str, int] = {}
    for one in found:
        if earlier := seen.get((one.table, one.name)):
            raise DataError(path, f"{one.name} is there twice, in line {earlier} too.", one.line)
        seen[one.table, one.name] = one.line
        if one.baseline and (other := marked.setdefault(one.table, one.name)) != one.name:
            raise DataError(path, f"{one.name} is marked as the baseline, and so is {other}.", one.line)
        arms[one.table] = arms.get(one.table, 0) + 1
    for table, count in arms.items():
        if count < 2:
            raise DataError(path, f"{table or 'the table'} has one arm only: there is nothing to compare.")
