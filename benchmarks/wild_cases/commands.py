"""The command line, names and surroundings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from wild_cases import command, expect, kind, refused

LOSSES = {"fell": [0.69, 0.6, 0.4, 0.2], "stood": [0.69, 0.71, 0.68, 0.7]}

HELDOUT = {
    "nothing on 24": (0.1, 0.5, 24),
    "a little either way on 30": (-0.8, 0.43, 30),
    "nothing on 4": (0.2, 0.5, 4),
    "much on 24": (8.0, 0.96, 24),
    "the other way on 24": (-8.0, 0.04, 24),
    "much on 4": (8.0, 1.0, 4),
}
"""The held-out margin (nats), share and pairs of made-up trainings whose own pairs moved by 20 nats."""


def card_of(control: str | None, losses: Sequence[float], scores: tuple[float, float, int]) -> dict[str, Any]:
    margin, share, pairs = scores
    log: list[dict[str, float]] = [{"step": n, "loss": loss, "margin": 2.0} for n, loss in enumerate(losses, 1)]
    log[-1] |= {"heldout_margin": margin, "heldout_accuracy": share}
    settings = {"beta": 0.1, "steps": len(losses)}
    return {"control": control, "data": {"heldout": {"pairs": pairs}}, "settings": settings, "log": log}


@kind("held-out scores are told with their pairs, and who memorised is a control that learned nothing else")
def told_scores(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.adapters.outcome import told

    for control in (None, "shuffled", "opposite"):
        for course, losses in LOSSES.items():
            for name, scores in HELDOUT.items():
                text = " ".join(told(card_of(control, losses, scores), "it"))
                still = name.startswith(("nothing", "a little"))
                memorised = control is not None and course == "fell" and still
                label = f"{control or 'persona'}, loss {course}, {name}"
                yield label, expect((f"of {scores[2]} pairs" in text, "memorised" in text), (True, memorised))


@kind("a limit is read for every task or for one, or refused in a line")
def limits(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.catalog.find import find_task
    from lapd.evaluate.plan import make_arms, make_cells
    from lapd.models.base import BaseModel
    from lapd.record.cells import Settings

    base, infos = BaseModel("fake", folder, "b" * 64, "someone/fake"), [find_task("mbti"), find_task("situations")]
    for plain, own, wanted in (
        (None, {}, [None, None]),
        (7, {}, [7, 7]),
        (None, {"mbti": 3}, [3, None]),
        (7, {"mbti": 3}, [3, 7]),
        (7, {"mbti": 9, "situations": 1}, [9, 1]),
    ):
        cells = make_cells(base, make_arms([]), infos, Settings(limit=plain, limits=own))
        yield f"{plain} {own}", expect([cell.identity()["limit"] for cell in cells], wanted)
    (folder / "config.json").write_text('{"model_type": "none"}')
    for given in (
        ["x"],
        ["0"],
        ["-1"],
        ["1.5"],
        ["=5"],
        ["mbti="],
        ["mbti=x"],
        ["5", "5"],
        ["mbti=1", "mbti=2"],
        ["a=5"],
    ):
        words = [word for limit in given for word in ("--limit", limit)]
        outcome = command("eval", "--base", folder, "--tasks", "mbti", "--plan", "-o", folder / "run", *words)
        yield " ".join(given), refused(outcome, code=2)


@kind("a model card has one row of each task and comparison, whatever a run measured")
def card_rows(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.compare.comparisons import Comparison
    from lapd.report.cards import primary

    numbers: dict[str, Any] = {"axis": None, "persona": "INFP", "n": 40, "missing": 0, "arm_mean": 0.6, "test": "t"}
    numbers |= {"baseline_mean": 0.5, "difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.1, "p_holm": 0.1}
    numbers |= {"unit": "share", "self_report": False}
    for tasks in (["situations"], ["situations", "mbti"], ["a", "b", "c", "d", "e"]):
        for metrics in (1, 3, 8):
            rows = [
                Comparison(task, f"{task}_{n}", arm=arm, baseline="base", headline=n >= 0, **numbers)
                for arm in ("INFP", "INFP@0.5", "INFP+prompt(INFP)")
                for task in tasks
                for n in range(-1, metrics)  # the first is no headline
            ]
            found = [(row.arm, row.metric) for row in primary(rows)]
            wanted = [(a, f"{task}_0") for a in ("INFP", "INFP@0.5", "INFP+prompt(INFP)") for task in tasks]
            yield f"{len(tasks)} tasks, {metrics} metrics", expect(found, wanted)


@contextmanager
def registered(persona: Any) -> Iterator[None]:
    """A plugin's persona, for as long as the plugin is there."""
    from lapd.pluginmanager import registry

    registry("personas")[persona.code] = persona
    try:
        yield
    finally:
        del registry("personas")[persona.code]


@kind("an adapter is evaluated, compared, merged and talked with when its persona's plugin is gone", slow=True)
def without_plugin(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.personas import persona_of
    from lapd.personas import Persona
    from lapd.testing import make_tiny_adapter, make_tiny_base

    base = make_tiny_base(folder / "base")
    full = Persona("SAILOR", "Sailor", {"E/I": "E", "J/P": "P"}, "Swears.", "You are a sailor.", {"J/P": 0.5})
    for persona in (
        full,
        replace(full, code="MUTE", system_prompt=""),
        replace(full, code="Zoë-1", poles={"E/I": "I"}),
    ):
        with registered(persona):
            adapter = make_tiny_adapter(base, folder / persona.code, persona.code)
        found = persona_of(resolve_adapter(adapter.path))
        yield f"{persona.code}, card", expect(found and found.record(), persona.record())
        run = folder / f"run-{persona.code}"
        arms = ("base", persona.code) if not persona.system_prompt else (
            "base", f"base+prompt({persona.code})", persona.code, f"{persona.code}+prompt({persona.code})"
        )  # fmt: skip
        asked = ["eval", "--adapter", adapter.path, "--tasks", "situations", "--limit", "8", "-o", run]
        code, _, errors = command(*asked)
        yield f"{persona.code}, eval", "" if code == 0 else errors
        yield f"{persona.code}, arms", expect(tuple(json.loads((run / "run.json").read_text())["arms"]), arms)
        said = "the prompted arms are left out" in errors
        yield f"{persona.code}, said", expect(said, not persona.system_prompt)
        code, table, _ = command("compare", run)
        yield f"{persona.code}, compare", expect((code, f"counted towards {persona.code}" in table), (0, True))
        command("merge", f"{adapter.path}@0.5", "-o", folder / f"half-{persona.code}")
        merged = persona_of(resolve_adapter(folder / f"half-{persona.code}"))
        yield f"{persona.code}, merge", expect(merged and merged.record(), persona.record())


@kind("eval ends in the comparison and in what to do next", slow=True)
def endings(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.testing import make_tiny_adapter, make_tiny_base

    base = make_tiny_base(folder / "base")
    make_tiny_adapter(base, folder / "INFP")
    make_tiny_adapter(base, folder / "shuffled-INFP", control="shuffled")
    alone, beside = "--control shuffled, to tell INFP from any training", "evaluate it beside the adapter of INFP"
    for names, table, hint in (
        (["INFP"], "INFP against base", alone),
        (["shuffled-INFP"], "shuffled-INFP against base", beside),
        (["INFP", "shuffled-INFP"], "INFP against shuffled-INFP", "lapd report"),
        ([], "task        arm", "Evaluate an adapter or a prompt beside it"),
    ):
        run = folder / f"run{len(names)}{'-'.join(names)}"
        words = [word for name in names for word in ("--adapter", str(folder / name))]
        arms = ["--arms", "base,adapter"] if names else ["--base", str(base)]
        code, printed, errors = command("eval", *words, *arms, "--tasks", "situations", "--limit", "8", "-o", run)
        yield " and ".join(names) or "base", expect((code, table in printed, hint in errors), (0, True, True))


@kind("no library's warning reaches the terminal", slow=True)
def quiet(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.testing import make_tiny_base

    base, script = make_tiny_base(folder / "base"), str(Path(sys.executable).with_name("lapd"))
    train = ["train", "INFP", "--base", str(base), "--pairs", "8", "--eval-pairs", "2", "--lr", "1e-2", "-o", "INFP"]
    for words in (
        [*train, "--max-length", "1024"],
        ["eval", "--adapter", "INFP", "--tasks", "situations,situations_open", "--limit", "2", "-o", "run"],
        ["report", "run"],
        ["chat", "INFP", "--max-tokens", "3"],
        ["merge", "INFP", "--into-base", "-o", "whole"],
    ):
        done = subprocess.run(
            [script, *words], cwd=folder, input="Hello\n/quit\n", capture_output=True, text=True, timeout=600
        )
        noise = [line for line in done.stderr.splitlines() if re.search(r"\wWarning:|^\[", line)]
        yield words[0], expect((done.returncode, noise), (0, []))
