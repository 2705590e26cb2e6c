"""Files of rows as they come: marked, compressed, oddly named, in cells too large, or refused by what they are."""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import json
import lzma
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from lapd.errors import DataError
from lapd.files.plain import as_json
from lapd.files.rows import read_records
from lapd.files.whole import read_json, read_jsonl
from lapd.pairs.pair import PreferencePair
from lapd.pairs.readers import read_any_pairs

ROWS = [{"prompt": f"What of day {n}?", "chosen": f"Quiet, {n}.", "rejected": f"Loud, {n}."} for n in range(3)]
PAIRS = [PreferencePair(**row) for row in ROWS]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
LIST = json.dumps(ROWS)
TABLE = "prompt,chosen,rejected\n" + "".join(f'"{r["prompt"]}","{r["chosen"]}","{r["rejected"]}"\n' for r in ROWS)
MARK = "\ufeff"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"

READ: dict[str, bytes] = {
    "marked.jsonl": (MARK + LINES).encode(),
    "marked.json": (MARK + LIST).encode(),
    "marked-lines.json": (MARK + LINES).encode(),
    "marked.csv": (MARK + TABLE).encode(),
    "joined.jsonl": (MARK + LINES.splitlines(True)[0] + MARK + "".join(LINES.splitlines(True)[1:])).encode(),
    "LOUD.CSV": TABLE.encode(),
    "LOUD.JSON": LIST.encode(),
    "LOUD.JSONL": LINES.encode(),
    "Loud.Tsv": TABLE.replace('","', '"\t"').replace(",chosen,", "\tchosen\t").encode(),
    "semicolons.csv": TABLE.replace('","', '";"').replace(",chosen,", ";chosen;").encode(),
    "packed.jsonl.gz": gzip.compress(LINES.encode()),
    "PACKED.JSON.GZ": gzip.compress((MARK + LIST).encode()),
    "packed.csv.gz": gzip.compress(TABLE.encode()),
    "packed.jsonl.bz2": bz2.compress(LINES.encode()),
    "packed.json.xz": lzma.compress(LIST.encode()),
    "packed-under-another-name.jsonl": gzip.compress(LINES.encode()),
    "lines.ndjson": LINES.encode(),
    "crlf.jsonl": LINES.replace("\n", "\r\n").encode(),
    "pretty.json": json.dumps(ROWS, indent=2).encode(),
    "around.json": json.dumps({"data": ROWS, "version": 2}, indent=1).encode(),
    "splits.json": json.dumps({"test": ROWS[:1], "train": ROWS}).encode(),
}


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read_whatever_it_was_saved_with(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(READ[name])
    assert read_any_pairs(tmp_path / name) == PAIRS


def test_one_pretty_printed_object_is_a_row_and_so_is_one_conversation(tmp_path: Path) -> None:
    talk = {side: [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": side}] for side in ("chosen",)}
    talk["rejected"] = [talk["chosen"][0], {"role": "assistant", "content": "rejected"}]
    for row, pair in ((ROWS[0], PAIRS[0]), (talk, PreferencePair("Hi", "chosen", "rejected"))):
        (tmp_path / "one.json").write_text(json.dumps(row, indent=1))
        assert read_any_pairs(tmp_path / "one.json") == [pair]


def test_cells_may_be_of_any_length(tmp_path: Path) -> None:
    text = "so much to say, " * 20_000
    with (tmp_path / "big.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["prompt", "chosen", "rejected"], ["p", text, "short"]])
    assert read_any_pairs(tmp_path / "big.csv")[0].chosen == text


REFUSED: dict[str, tuple[bytes, str]] = {
    "utf16.jsonl": (LINES.encode("utf-16"), r"not UTF-8 text but UTF-16\. Save it as UTF-8"),
    "utf16.json": (LIST.encode("utf-16-be"), r"not UTF-8 text but UTF-16\. Save it as UTF-8"),
    "utf16.csv": (TABLE.encode("utf-16-le"), r"not UTF-8 text but UTF-16\. Save it as UTF-8"),
    "latin.jsonl": ('{"prompt": "Café"}\n'.encode("latin-1"), r"not UTF-8 text .*Save it as UTF-8"),
    "latin.csv": ("prompt,chosen,rejected\nCafé,a,b\n".encode("latin-1"), r"not CSV in UTF-8 .*Save it as"),
    "cut.jsonl.gz": (gzip.compress(LINES.encode())[:40], "damaged, or not all of it is here"),
    "cut.csv.xz": (lzma.compress(TABLE.encode())[:-30], "damaged, or not all of it is here"),
    "pointer.jsonl": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        r"pointer of Git LFS.*git lfs pull",
    ),
    "pointer.parquet": (POINTER, "pointer of Git LFS"),
    "sheet.csv": (b"PK\x03\x04rest", "ZIP archive or a spreadsheet"),
    "zstd.jsonl": (b"\x28\xb5\x2f\xfdrest", "compressed with zstd"),
    "deep.jsonl": (b"[" * 100_000, r"deep\.jsonl:1: this line is not JSON"),
    "digits.jsonl": (b'{"id": ' + b"9" * 5000 + b"}\n", r"digits\.jsonl:1: this line is not JSON"),
    "lists.json": (json.dumps({"a": ROWS, "b": ROWS}).encode(), r"of its lists none is called train: a, b\. Save the"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_text_in_utf8_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_any_pairs(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gone.CSV", "gone.jsonl.gz", "gone.json.xz"])
def test_a_missing_file_is_not_looked_for_on_the_hub(tmp_path: Path, name: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="there is no such file"):
        list(read_records(name))


def test_records_of_lapds_own_may_carry_a_mark_too(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(MARK + '{"a": 1}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "a.jsonl").write_text(MARK + '{"a": 1}\n', encoding="utf-8")
    assert list(read_jsonl(tmp_path / "a.jsonl")) == [(1, {"a": 1})]


VALUES: dict[str, tuple[Any, Any]] = {
    "not a number": (float("nan"), None),
    "infinity": (float("-inf"), None),
    "a time": (datetime.datetime(2024, 1, 2, 3, 4), "2024-01-02T03:04:00"),
    "a day": (datetime.date(2024, 1, 2), "2024-01-02"),
    "a whole decimal": (Decimal("7.0"), 7),
    "a decimal": (Decimal("1.50"), "1.50"),
    "bytes of a text": ("é".encode(), "é"),
    "other bytes": (b"\x01\xff", "01ff"),
    "half a character": ("a\ud83d", "a\ufffd"),
    "a whole character in two halves": ("\ud83d\ude00", "\U0001f600"),
    "a duration": (datetime.timedelta(days=1), "1 day, 0:00:00"),
    "nested": ({"a": (1, float("nan")), 2: {Decimal(3)}}, {"a": [1, None], "2": [3]}),
}


@pytest.mark.parametrize("kind", VALUES)
def test_values_are_carried_as_json_can(kind: str) -> None:
    value, wanted = VALUES[kind]
    assert as_json(value) == wanted
    json.dumps(as_json(value), allow_nan=False).encode()


@pytest.mark.parametrize("kind", ["not a number", "a time", "a day", "a whole decimal", "a decimal", "other bytes"])
def test_ids_and_sources_of_any_kind_are_kept_as_json(tmp_path: Path, kind: str, invoke: Callable[..., Result]) -> None:
    from pyarrow import Table
    from pyarrow.parquet import write_table

    value, wanted = VALUES[kind]
    for field, rows in {
        "id": [{**row, "id": value} for row in ROWS],
        "source": [{**row, "source": {"id": value, "axis": "E/I"}} for row in ROWS],
    }.items():
        write_table(Table.from_pylist(rows), tmp_path / f"{field}.parquet")
        for verb in ("check", "stats"):
            assert invoke("data", verb, tmp_path / f"{field}.parquet").exit_code in (0, 1)
        out = tmp_path / f"{field}.jsonl"
        assert invoke("data", "fix", tmp_path / f"{field}.parquet", "-o", out).exit_code == 0
        found = [row["source"] for _, row in read_jsonl(out)]
        if field == "source":
            assert found == [{"id": wanted, "axis": "E/I"}] * 3
        else:
            assert found == ([{}] * 3 if wanted is None else [{"id": wanted}] * 3)


def test_not_a_number_in_a_source_of_json_lines_is_null(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps({**ROWS[0], "source": {"score": float("nan"), "axis": None}}) + "\n")
    (pair,) = read_any_pairs(tmp_path / "p.jsonl")
    assert pair.source == {"score": None, "axis": None}
