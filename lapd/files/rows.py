"""Rows of any format that is read: JSON lines, a JSON list, CSV, Parquet, folders and data sets of the Hub."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lapd.errors import DataError, first_line
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
    if not path.exists() and path.suffix not in SUFFIXES and HUB_ID.fullmatch(str(path_or_id)):
        return _from_hub(str(path_or_id))
    readers = {".json": _from_json, ".csv": _from_csv, ".tsv": _from_csv, ".parquet": _from_parquet}
    return readers.get(path.suffix, read_jsonl)(path)


def first_record(path: Path) -> Any:
    """The first row of a file, or None where there is none or it cannot be read: for telling what a file is."""
    try:
        return next((record for _, record in read_records(path)), None)
    except (DataError, TypeError):
        return None


def _from_json(path: Path) -> Iterator[tuple[int, Any]]:
    """A JSON list's items; a file that begins otherwise has one JSON object a line, whatever its name."""
    try:
        with path.open(encoding="utf-8") as stream:
            start = stream.read(1024).lstrip()
    except (FileNotFoundError, UnicodeDecodeError):
        start = "["  # read_json says what is wrong
    return enumerate(read_json(path), 1) if start.startswith("[") else read_jsonl(path)


def _from_csv(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(path, "this row has not as many cells as the header.", reader.line_num)
                yield reader.line_num, row
    except FileNotFoundError:
        raise DataError(path, "there is no such file.") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(path, f"this is not CSV in UTF-8 ({first_line(error)}).") from None


def _from_parquet(path: Path) -> Iterator[tuple[int, Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        rows = read_table(path).to_pylist()
    except FileNotFoundError:
        raise DataError(path, "there is no such file.") from None
    except ArrowException as error:
        raise DataError(path, f"this is not Parquet ({first_line(error)}).") from None
    return enumerate(rows, 1)


def _from_folder(path: Path) -> Iterator[tuple[int, Any]]:
    """A folder that `save_to_disk` wrote, or one with data files, read by `datasets`."""
    saved = any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))
    if not saved and not any(p.suffix in SUFFIXES for p in path.rglob("*")):
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
