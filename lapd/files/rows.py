"""Rows of any format that is read: JSON lines, a JSON list, CSV, Parquet, folders and data sets of the Hub."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lapd.errors import DataError, first_line
from lapd.files.text import COMPRESSIONS, first_bytes, open_text
from lapd.files.whole import read_json, read_jsonl

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def read_records(path_or_id: str | Path) -> Iterator[tuple[int, Any]]:
    """The rows of any format that is read, each with its number from 1.

    Raises:
        DataError: there is no such file, folder or data set, or it is not in the format that its name promises.
    """
    path = Path(path_or_id).expanduser()
    if path.is_dir():
        return _from_folder(path)
    kind = format_of(path)
    if not path.exists() and kind not in SUFFIXES and HUB_ID.fullmatch(str(path_or_id)):
        return _from_hub(str(path_or_id))
    readers = {".json": _from_json, ".csv": _from_csv, ".tsv": _from_csv, ".parquet": _from_parquet}
    return readers.get(kind, read_jsonl)(path)


def format_of(path: Path) -> str:
    """The end of a file's name that tells its format, in lower case: ".csv" of PAIRS.CSV and of pairs.csv.gz."""
    compressed = path.suffix.lower() in [suffix for suffix, _ in COMPRESSIONS.values()]
    return (path.with_suffix("") if compressed else path).suffix.lower()


def first_record(path: Path) -> Any:
    """The first row of a file, or None where there is none or it cannot be read: for telling what a file is."""
    try:
        return next((record for _, record in read_records(path)), None)
    except (DataError, TypeError):
        return None


def _from_json(path: Path) -> Iterator[tuple[int, Any]]:
    """A list's items; one JSON object a line, whatever the name; or one object, which is a row or is around them."""
    try:
        with open_text(path) as stream:
            lines = list(islice((line for line in stream if line.strip()), 2))
        if len(lines) > 1 and isinstance(json.loads(lines[0]), dict):
            return read_jsonl(path)
    except (ValueError, RecursionError):
        pass  # read_json says what is wrong, if anything is
    value = read_json(path)
    return enumerate(value if isinstance(value, list) else _rows_in(path, value), 1)


def _rows_in(path: Path, value: Any) -> list[Any]:
    """The rows of a JSON file that is no list: the list that its object is around, else the object, which is a row."""
    held = {name: rows for name, rows in value.items() if _are_rows(rows)} if isinstance(value, dict) else {}
    if not held or {"chosen", "rejected", "output"} & held.keys():  # a conversation is a list of objects too
        return [value]
    if len(held) > 1 and "train" not in held:
        hint = "Save the one that you want as a file of its own."
        raise DataError(path, f"of its lists none is called train: {', '.join(held)}.", hint=hint)
    rows: list[Any] = held["train"] if "train" in held else next(iter(held.values()))
    return rows


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _from_csv(path: Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(sys.maxsize)
    try:
        with open_text(path, newline="") as stream:
            reader = csv.DictReader(stream, delimiter=_delimiter(path), strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(path, "this row has not as many cells as the header.", reader.line_num)
                yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        message = f"this is not CSV in UTF-8 ({first_line(error)})."
        raise DataError(path, message, hint="Save it as CSV in UTF-8.") from None


def _delimiter(path: Path) -> str:
    """What is between the cells: where a comma is the decimal sign, spreadsheets write semicolons."""
    if format_of(path) == ".tsv":
        return "\t"
    with open_text(path) as stream:
        header = stream.readline()
    return ";" if ";" in header and "," not in header else ","


def _from_parquet(path: Path) -> Iterator[tuple[int, Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    first_bytes(path)
    try:
        rows = read_table(path).to_pylist()
    except (ArrowException, ValueError, OverflowError) as error:
        raise DataError(path, f"this is not Parquet that can be read ({first_line(error)}).") from None
    return enumerate(rows, 1)


def _from_folder(path: Path) -> Iterator[tuple[int, Any]]:
    """A folder that `save_to_disk` wrote, or one with data files, read by `datasets`."""
    saved = any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))
    if not saved and not any(format_of(p) in SUFFIXES for p in path.rglob("*")):
        raise DataError(path, "this is a folder without data files.", hint=f"Known: {', '.join(SUFFIXES)}.")
    return _with_datasets(path, "load_from_disk" if saved else "load_dataset", "this folder cannot be read")


def _from_hub(name: str) -> Iterator[tuple[int, Any]]:
    return _with_datasets(name, "load_dataset", "there is no such file, and no such data set could be fetched")


def _with_datasets(where: str | Path, function: str, failure: str) -> Iterator[tuple[int, Any]]:
    from lapd.files.quiet import quiet_libraries

    with quiet_libraries():
        import datasets

        datasets.disable_progress_bars()
        try:
            loaded = getattr(datasets, function)(str(where))
        # The Hub's client, the network and the builders each have errors of their own.
        except Exception as error:
            raise DataError(where, f"{failure} ({type(error).__name__}: {first_line(error)}).") from None
    if isinstance(loaded, dict):
        split = "train" if "train" in loaded else next(iter(loaded))
        if split != "train" and len(loaded) > 1:
            hint = "Save the one that you want with save_to_disk, and give its folder."
            raise DataError(where, f"of its splits none is called train: {', '.join(map(str, loaded))}.", hint=hint)
        loaded = loaded[split]
    return enumerate(loaded, 1)
