"""What pairs are saved in: formats, encodings, values that are no text."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import lzma
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from wild_cases import command, expect, kind, refused
from wild_cases.pairs import SIDES, Row, fixed, plain_rows, replied, save, say, talk


def table(rows: list[Row], between: str) -> str:
    lines = [rows[0].keys(), *(row.values() for row in rows)]
    return "".join(between.join(f'"{cell}"' for cell in line) + "\r\n" for line in lines)


@kind("A pairs file is read whatever it was saved with")
def saved(folder: Path) -> Iterator[tuple[str, str]]:
    rows = plain_rows()
    lines, whole = "".join(json.dumps(row) + "\n" for row in rows), json.dumps(rows)
    texts = {
        "p.jsonl": lines,
        "p.JSONL": lines,
        "lines.json": lines,
        "p.json": whole,
        "p.Json": whole,
        "pretty.json": json.dumps(rows, indent=2),
        "around.json": json.dumps({"rows": rows}),
        "splits.json": json.dumps({"train": rows, "test": rows[:1]}, indent=1),
        "p.csv": table(rows, ","),
        "P.CSV": table(rows, ","),
        "semicolons.csv": table(rows, ";"),
        "p.tsv": table(rows, "\t"),
        "p.TSV": table(rows, "\t"),
        "crlf.jsonl": lines.replace("\n", "\r\n"),
    }
    packers = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".GZ": gzip.compress}
    wanted = [{**row, "source": {}} for row in rows]
    for name, text in texts.items():
        for mark in ("", "\ufeff"):
            for suffix, pack in packers.items():
                path = folder / f"{name}{suffix}"
                path.write_bytes(pack((mark + text).encode()))
                yield f"{path.name}{', marked' if mark else ''}", expect(fixed(path), wanted)
    for name in ("p.jsonl", "p.json", "p.csv"):
        (folder / name).write_bytes(gzip.compress(texts[name].encode()))
        yield f"{name}, compressed without its suffix", expect(fixed(folder / name), wanted)
    big = "word, " * 60_000
    path = save(folder / "big.csv", [{**rows[0], "chosen": big}])
    yield "a cell of 360,000 characters", expect([row["chosen"] for row in fixed(path)], [big.strip()])


@kind("What is no text in UTF-8 is refused by what it is")
def no_text(folder: Path) -> Iterator[tuple[str, str]]:
    rows = plain_rows()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for name, text in (("p.jsonl", lines), ("p.json", json.dumps(rows)), ("p.csv", table(rows, ","))):
        contents = {
            **{code: (text.encode(code), "UTF-16") for code in ("utf-16", "utf-16-le", "utf-16-be")},
            "latin-1": (text.replace("lock", "clé").encode("latin-1"), "UTF-8"),
            "zip": (b"PK\x03\x04" + text.encode(), "ZIP"),
            "zstd": (b"\x28\xb5\x2f\xfd" + text.encode(), "zstd"),
            "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "Git LFS"),
            "cut gzip": (gzip.compress(text.encode())[:-12], "damaged"),
        }
        for label, (content, word) in contents.items():
            path = folder / name
            path.write_bytes(content)
            for verb in ("check", "stats"):
                yield f"{name}, {label}, {verb}", refused(command("data", verb, path), word, code=1)
    for label, content in {"deep": b"[" * 50_000, "digits": b'{"id": ' + b"7" * 6000 + b"}"}.items():
        (folder / "p.jsonl").write_bytes(content)
        yield label, refused(command("data", "check", folder / "p.jsonl"), "p.jsonl:1:", code=1)


@kind("Ids and sources of any type are kept as JSON can carry them")
def sources(folder: Path) -> Iterator[tuple[str, str]]:
    values: dict[str, tuple[Any, Any]] = {
        "nan": (float("nan"), None),
        "infinity": (float("inf"), None),
        "time": (datetime.datetime(2024, 1, 2, 3), "2024-01-02T03:00:00"),
        "zoned": (datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), "2024-01-02T00:00:00+00:00"),
        "date": (datetime.date(2024, 1, 2), "2024-01-02"),
        "clock": (datetime.time(7, 30), "07:30:00"),
        "duration": (datetime.timedelta(hours=1), "1:00:00"),
        "decimal": (Decimal("2.50"), "2.50"),
        "whole decimal": (Decimal(12), 12),
        "bytes": (b"\x00\xfe", "00fe"),
        "list": ([1.5, float("nan")], [1.5, None]),
    }
    for label, (value, wanted) in values.items():
        rows = plain_rows()
        path = save(folder / "id.parquet", [{**row, "id": value} for row in rows])
        ids = [{"id": wanted}] * len(rows) if wanted is not None else [{}] * len(rows)
        yield f"{label} as id", expect([row["source"] for row in fixed(path)], ids)
        path = save(folder / "source.parquet", [{**row, "source": {"of": value, "axis": "E/I"}} for row in rows])
        yield f"{label} in source", expect([r["source"] for r in fixed(path)], [{"of": wanted, "axis": "E/I"}] * 4)
        for verb in ("check", "stats"):
            code, _, _ = command("data", verb, path, "--json")
            yield f"{label}, {verb}", expect(code in (0, 1), True)


@kind("Half a character is named, dropped by fix, and never written")
def halves(folder: Path) -> Iterator[tuple[str, str]]:
    before, replies = talk(1, system=True)
    for half in ("\ud83d", "\udc00"):
        for where in range(len(before)):
            messages = [say(m["role"], m["content"] + half * (n == where)) for n, m in enumerate(before)]
            rows = [{"prompt": m, **replied([], replies)} for m in (messages, before)]
            path = save(folder / "half.jsonl", rows)
            yield f"{half!a} in turn {where}", expect(fixed(path), [{**rows[1], "source": {}}])
            code, shown, _ = command("data", "check", path)
            yield f"{half!a} in turn {where}, check", expect((code, "broken characters: line 1" in shown), (1, True))
        for side in SIDES:
            rows = plain_rows()
            rows[1][side] += half
            path = save(folder / "half.jsonl", rows)
            yield f"{half!a} in {side}", expect(len(fixed(path)), 3)
        path = save(folder / "half.jsonl", [{**row, "id": half, "source": None} for row in plain_rows()])
        yield f"{half!a} in id", expect([row["source"] for row in fixed(path)], [{"id": "\ufffd"}] * 4)
