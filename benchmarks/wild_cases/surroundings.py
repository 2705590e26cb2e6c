"""Names, and what is around a command: terminals, caches, a home, a network."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from wild_cases import command, expect, kind, problem, refused
from wild_cases.cells import CHOICE, known
from wild_cases.conclusions import BASE, arm, make_run, values

Case = tuple[str, str]

NAMES = ("[1] INFP", "lr=1e-4", "a*b", "what?", "[!x]", "50%", "INFP@home", "a=b=c", "[]", "형é λ", "x:y", "-x", "a,b")


def adapter(folder: Path) -> Path:
    """As much of an adapter as is needed to find one."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return folder


@kind("a folder is found by its own name, whatever letters it has")
def odd_names(folder: Path) -> Iterator[Case]:
    from lapd.adapters.adapter import resolve_adapters
    from lapd.endpoints.endpoint import Endpoint
    from lapd.evaluate.served import served_adapters

    endpoint = Endpoint("llama", "http://127.0.0.1:1/v1")
    for name in NAMES:
        inner = adapter(folder / "in" / name / "INFP")
        place = adapter(folder / name)
        for label, text, wanted in (
            ("itself", place, place),
            ("named", f"mine={place}", place),
            ("a folder in it", inner, inner),
            ("a pattern in it", f"{inner.parent}/*", inner),
            ("a strength", f"{place}@0.5", place),
        ):
            yield f"{name}: {label}", expect([a.path for a in resolve_adapters([str(text)])], [wanted])
        for label, text in (("itself", str(place)), ("named", f"mine={place}")):
            yield f"{name}: served, {label}", expect([a.path for a in served_adapters([text], endpoint)], [place])


@kind("names that are too long are cut and stay apart, or are a line")
def long_names(folder: Path) -> Iterator[Case]:
    from lapd.files.whole import LONGEST_NAME, fitting_name, write_text

    names = ["-".join([letter * length] * 4) for letter in ("a", "b", "é", "형", "😀") for length in (10, 90, 300)]
    cut = [fitting_name(name) for name in names]
    yield "apart", expect(len(set(cut)), len(names))
    for name, short in zip(names, cut, strict=True):
        write_text(folder / short, "x")
        yield f"{name[:3]}... {len(name)}", expect(len(short.encode()) <= LONGEST_NAME, True)
    base = folder / "base"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "none"}')
    options = ("eval", "--base", base, "--arms", "base", "--tasks", "situations", "-o")
    for letter in "a형":
        yield f"a folder of 300 {letter}", refused(command(*options, folder / (letter * 300)), "too long", code=1)


@kind("a table is printed whatever the terminal's encoding")
def encodings(folder: Path) -> Iterator[Case]:
    from click.testing import CliRunner

    from lapd.cli import cli

    odds = {"base": values("log_odds_EI", range(12)), "형-é-λ": values("log_odds_EI", range(-9, 3))}
    run = make_run(folder / "run", {"base": BASE, "형-é-λ": arm("INFP")}, {"situations": odds})
    for charset in ("latin-1", "cp949", "gbk", "ascii", "cp1252", "shift_jis", "koi8-r", "utf-8"):
        for words in (["compare", run], ["compare", run, "--json"], ["personas", "INFP"], ["tasks"]):
            result = CliRunner(charset=charset).invoke(cli, list(map(str, words)), prog_name="lapd")
            result.stdout_bytes.decode("utf-8" if charset == "ascii" else charset)  # what click makes of ASCII
            yield f"{charset}: {words[0]}", expect((result.exit_code, result.exception), (0, None))
        done = subprocess.run(
            [sys.executable, "-c", "from lapd.cli import main; main()", "report", str(folder / "형λé")],
            env={**os.environ, "PYTHONIOENCODING": charset}, capture_output=True, timeout=120,
        ) if charset in ("cp949", "ascii") else None  # fmt: skip
        if done:
            yield f"{charset}: an error", expect((done.returncode, b"Traceback" in done.stderr), (1, False))


@kind("a cache that is damaged, full, read-only or no file keeps nothing, and ends no command")
def caches(folder: Path) -> Iterator[Case]:
    from lapd.files.kept import KeptValues

    def fill(path: Path) -> None:
        with KeptValues(path, "things") as kept:
            kept.put({str(n): "x" * 500 for n in range(300)})

    def other_table(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE things (id, what)")
        connection.commit()
        connection.close()

    for label, spoil in (
        ("no database", lambda p: p.write_bytes(b"no database" * 999)),
        ("half a header", lambda p: p.write_bytes(b"SQLite f")),
        ("cut", lambda p: (fill(p), p.write_bytes(p.read_bytes()[:60_000]))),
        ("a page of zeros", lambda p: (fill(p), p.write_bytes(p.read_bytes()[:4096] + bytes(80_000)))),
        ("nothing", lambda p: p.write_bytes(b"")),
        ("another program's", other_table),
    ):
        path = folder / f"{label}.sqlite"
        spoil(path)
        with KeptValues(path, "things") as kept:
            kept.put({"a": 1.5})
            yield label, expect(kept.get(["a", "b"]), {"a": 1.5})
    (folder / "file").write_text("in the way")
    (folder / "folder.sqlite").mkdir()
    for path in (folder / "file/kept.sqlite", folder / "folder.sqlite", Path("/proc/nowhere/kept.sqlite")):
        with KeptValues(path, "things") as kept:
            kept.put({"a": 1.5})
            yield str(path.name), expect(kept.get(["a"]), {})
    connect = sqlite3.connect
    fill(folder / "still.sqlite")
    reads: Any = lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more)  # noqa: E731
    with mock.patch("sqlite3.connect", reads), KeptValues(folder / "still.sqlite", "things") as kept:
        kept.put({"b": 1})
        yield "read-only", expect((kept.get(["7"]), kept.get(["b"])), ({"7": "x" * 500}, {}))


@kind("without a home directory the cache is elsewhere, and a path below one is a line")
def homes(folder: Path) -> Iterator[Case]:
    hidden = ("HOME", "LAPD_CACHE", "XDG_CACHE_HOME", "HF_HOME", "USER", "LOGNAME")
    nobody = (
        "import pwd, sys\ndef nobody(uid):\n    raise KeyError(f'uid not found: {uid}')\npwd.getpwuid = nobody\n"
        "from lapd.cli import main\nmain()"
    )
    for label, more, words, wanted in (
        ("no home", {}, ("personas",), (0, "")),
        ("a home that is not there", {"HOME": "/proc/none"}, ("personas",), (0, "")),
        ("a path below it", {}, ("data", "check", "~/pairs.jsonl"), (1, "no home directory")),
    ):
        environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"TMPDIR": str(folder), **more}
        done = subprocess.run([sys.executable, "-c", nobody, *words], env=environment, capture_output=True, text=True)
        yield (
            label,
            expect((done.returncode, wanted[1] in done.stderr, "Traceback" in done.stderr), (wanted[0], True, False)),
        )


@kind("a task of the hub without a network is a line that says so")
def offline(folder: Path) -> Iterator[Case]:
    from lapd.catalog.find import find_task
    from lapd.catalog.live import load_task

    far = CHOICE.replace("custom_dataset: !function utils.plain", "dataset_path: nobody/nothing")
    with known(folder / "tasks", far=far, broken=CHOICE.replace("utils.plain", "utils.nothing")):
        for error in (
            ConnectionError("Couldn't reach 'nobody/nothing' on the Hub (OfflineModeIsEnabled)\nmore"),
            OSError(101, "Network is unreachable"),
            OSError(-3, "Temporary failure in name resolution"),
            TimeoutError("timed out"),
        ):
            with mock.patch("datasets.load_dataset", side_effect=error):
                yield type(error).__name__, problem(lambda: load_task(find_task("far")), "far", "network")
        yield "another fault", problem(lambda: load_task(find_task("broken")), "broken", "AttributeError")
