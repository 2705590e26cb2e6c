"""What is concluded from results, and shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.files.whole import write_json, write_jsonl
from wild_cases import command, expect, kind, refused

HEURISTIC = "heuristic: made for this"

Items = Mapping[str, Mapping[str, float]]
"""An arm on a task: each item's metrics."""


def arm(persona: str | None = None, baseline: str | None = "base", **more: Any) -> dict[str, Any]:
    """An arm's record: of an adapter, unless `adapter` says otherwise."""
    adapter = {"name": "a", "path": "/nowhere", "digest": "a" * 64}
    entry = {"adapter": adapter, "adapter_persona": persona, "prompt": None, "baseline": baseline}
    return entry | {"adapter_control": None} | more


BASE = arm(baseline=None, adapter=None)


def make_run(
    folder: Path,
    arms: Mapping[str, dict[str, Any]],
    tasks: Mapping[str, Mapping[str, Items]],
    *,
    unfinished: Sequence[tuple[str, str]] = (),
    seeds: Sequence[int] = (0,),
    note: str | None = None,
) -> Path:
    """A run folder as `lapd eval` leaves it.

    Args:
        folder: where it goes.
        arms: each arm's record.
        tasks: what each task's arms have, by item.
        unfinished: (arm, task) without a result.
        seeds: of the evaluation.
        note: of the judge of every task, if they have one.
    """
    cells: dict[str, Any] = {}
    for task, by_arm in tasks.items():
        for name, items in by_arm.items():
            for seed in seeds:
                cell = f"{len(cells):016x}"
                cells[f"{name} / {task} / seed {seed}"] = {"arm": name, "task": task, "seed": seed, "cell": cell}
                if (name, task) not in unfinished:
                    _write_cell(folder / "cells" / cell, items, note)
    base = {"name": "made", "digest": "b" * 64}
    write_json(folder / "run.json", {"schema": "lapd.run/1", "base": base, "arms": dict(arms), "cells": cells})
    return folder


def _write_cell(folder: Path, items: Items, note: str | None) -> None:
    rows = []
    for number, (item, metrics) in enumerate(items.items()):
        doc = {"item": item, "prompt": f"Ask for harm {item}.", "category": "self_harm" if note is not None else ""}
        rows.append({"doc_id": number, "item": item, "doc": doc, "arguments": [[item]], "metrics": dict(metrics)})
        rows[-1]["responses"] = [[f"answer to {item}"]]
    write_jsonl(folder / "samples.jsonl", rows)
    judge = {} if note is None else {"judge": {"name": "made", "version": "1", "settings": {}, "note": note}}
    cell = {"limit": None, "dtype": "float32"}
    result = {"schema": "lapd.result/1", "cell": cell, "metrics": {}, "finished": "2026-01-01T00:00:00Z"}
    write_json(folder / "result.json", result | judge | {"provenance": {"lapd": "0"}})


def values(metric: str, numbers: Sequence[float]) -> dict[str, dict[str, float]]:
    """Items with one metric."""
    return {f"{metric}-{n}": {metric: number} for n, number in enumerate(numbers)}


def table(run: Path, *more: object) -> str:
    """What `lapd compare` prints, without its line breaks."""
    return " ".join(command("compare", run, *more)[1].split())


def rows(run: Path, *more: object) -> list[dict[str, Any]]:
    """What `lapd compare --json` prints, but for what written answers are like."""
    from lapd.record.coherence import UNITS

    found: list[dict[str, Any]] = json.loads(command("compare", run, "--json", *more)[1])
    return [row for row in found if row["metric"] not in UNITS]


def report(run: Path) -> str:
    """The run's page."""
    command("report", run)
    return (run / "report.html").read_text(encoding="utf-8")


def has(text: str, *wanted: str, no: Sequence[str] = ()) -> str:
    """What is wrong where a text lacks one of `wanted`, or has one of `no`."""
    lacking = [f"no {part!r}" for part in wanted if part not in text]
    return "; ".join([*lacking, *(f"{part!r} is said" for part in no if part in text)])


@kind("an adapter without a persona has rows, and can be given one")
def foreign_adapters(folder: Path) -> Iterator[tuple[str, str]]:
    for task, metric in (("situations", "log_odds_EI"), ("mbti", "agreement_TF"), ("mbti", "likelihood_nats_SN")):
        middle = 50.0 if metric.startswith("agreement") else 0.0
        before = [middle + n % 3 for n in range(12)]
        after = [v - 3 - n % 2 for n, v in enumerate(before)]
        arms = {"base": BASE, "lora": arm()}
        made = {task: {"base": values(metric, before), "lora": values(metric, after)}}
        run = make_run(folder / f"{task}-{metric}", arms, made)
        shown = has(table(run), "lora against base moved", no=["none of the 0", "None"])
        yield f"{metric}: shown", shown
        given = {row["persona"] for row in rows(run, "--persona", "ENTJ") if row["headline"]}
        yield f"{metric}: given", expect(given, {"ENTJ"})
        yield f"{metric}: a wrong one", refused(command("compare", run, "--persona", "ENTX"), "persona", code=2)
    tasks = {"situations": {"base": values("log_odds_EI", range(9)), "x": values("log_odds_EI", range(1, 10))}}
    own = make_run(folder / "own", {"base": BASE, "x": arm("INFP")}, tasks)
    yield "one that has its own", refused(command("compare", own, "--persona", "ENTJ"), "of its own", code=2)


@kind("a score of 0 to 100 is not multiplied by 100")
def undeclared_units(folder: Path) -> Iterator[tuple[str, str]]:
    cases = {
        "eq_bench": ([40.0 + n for n in range(12)], 3.0),
        "bleu_max": ([1.5 * n for n in range(12)], 2.0),
        "rouge1": ([20.0 + n % 5 for n in range(12)], -4.0),
        "below_zero": ([-n / 10 for n in range(12)], 0.5),
        "perplexity": ([900.0 + n for n in range(12)], 11.0),
    }
    made: dict[str, Any] = {"share": {"base": values("acc", [0.0, 1] * 6), "x": values("acc", [1.0, 1] * 6)}}
    for metric, (before, shift) in cases.items():
        after = [v + shift + (n % 2) / 10 for n, v in enumerate(before)]
        made[metric] = {"base": values(metric, before), "x": values(metric, after)}
    run = make_run(folder / "run", {"base": BASE, "x": arm()}, made)
    found = {row["metric"]: row for row in rows(run)}
    for metric, (_, shift) in cases.items():
        shown = (found[metric]["unit"], round(found[metric]["difference"], 6))
        yield metric, expect(shown, ("", round(shift + 0.05, 6)))
    text, page = table(run), report(run)
    yield "a share stays one", has(text, "accuracy, %", "+50.0") or expect(found["acc"]["unit"], "share")
    yield "the table", has(text, no=[f"{metric}, %" for metric in cases])
    yield "the page", has(page, no=[f'{metric.replace("_", " ")} <span class="unit">' for metric in cases])


@kind("saying is not doing only where the two moved apart")
def contradictions(folder: Path) -> Iterator[tuple[str, str]]:
    for label, doing, saying, apart in (
        ("both up", 3.0, 3.0, False),
        ("both down", -3.0, -3.0, False),
        ("one still", 3.0, 0.0, False),
        ("the other still", 0.0, 3.0, False),
        ("up and down", 3.0, -3.0, True),
        ("down and up", -3.0, 3.0, True),
    ):
        tasks = {}
        for task, metric, middle, shift in (
            ("situations", "log_odds_EI", 0.0, doing),
            ("mbti", "agreement_EI", 50.0, saying),
        ):
            before = [middle + n % 3 for n in range(16)]
            after = [v - shift + (n * 7 % 5 - 2) / 4 for n, v in enumerate(before)]  # down is towards INFP
            tasks[task] = {"base": values(metric, before), "x": values(metric, after)}
        run = make_run(folder / label, {"base": BASE, "x": arm("INFP")}, tasks)
        yield label, expect("Saying is not doing:" in table(run), apart)


@kind("a name that belongs to an arm is no adapter's")
def reserved_names(folder: Path) -> Iterator[tuple[str, str]]:
    base = folder / "model"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "none"}')
    for name in ("base", "Base", "base+prompt(INFP)", "x+prompt(ENTJ)", "INFP@0.5", "x@-1"):
        adapter = folder / name
        adapter.mkdir()
        (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
        (adapter / "adapter_model.safetensors").write_bytes(b"weights")
        call = ["eval", "--base", base, "--tasks", "situations", "--arms", "base,adapter", "--plan", "-o", folder / "r"]
        yield name, refused(command(*call, "--adapter", adapter), "NAME=FOLDER", code=2)
        exit_code, planned, _ = command(*call, "--adapter", f"mine={adapter}")
        yield f"{name}, called otherwise", expect((exit_code, "mine" in planned), (0, True))


@kind("a control counts for its own persona only, and a seed of the evaluation is no training")
def caveats(folder: Path) -> Iterator[tuple[str, str]]:
    made = {"base": values("acc", [0.0, 1] * 6), "x": values("acc", [1.0, 1] * 6)}
    for label, control, persona, lacking in (
        ("none", None, None, True),
        ("opposite", "opposite", "INFP", True),
        ("another's", "shuffled", "ENTJ", True),
        ("nobody's", "shuffled", None, True),
        ("its own", "shuffled", "INFP", False),
        ("its own, a further one", "shuffled-3", "INFP", False),
    ):
        arms = {"base": BASE, "x": arm("INFP")}
        tasks = dict(made)
        if control:
            held = {"name": "c", "path": "/nowhere", "digest": "c" * 64}
            arms["c"] = arm(persona, adapter=held, adapter_control=control)
            tasks["c"] = values("acc", [0.0, 0] * 6)
        page = report(make_run(folder / label, arms, {"theirs": tasks}, seeds=(0, 1)))
        yield label, expect("There is no control adapter" in page, lacking)
        yield f"{label}: seeds", has(page, "Each adapter is one training run.")


@kind("identical differences are no certainty")
def identical(folder: Path) -> Iterator[tuple[str, str]]:
    made: dict[str, Any] = {}
    for n in (2, 3, 5, 6, 12):
        for step in (0.1, -0.7, 3.0, 1e-3):
            before = [0.3 * k + k % 2 for k in range(n)]
            metric = f"{n} by {step}"
            made[metric] = {"base": values(metric, before), "x": values(metric, [v + step for v in before])}
    for row in rows(make_run(folder / "run", {"base": BASE, "x": arm()}, made)):
        yield row["metric"], expect(row["p"], 2 / 2 ** row["n"]) or expect(row["low"] is None, row["n"] < 6)


@kind("a category is named as one, and is no row below six items")
def categories(folder: Path) -> Iterator[tuple[str, str]]:
    counts = {"self_harm": 1, "child_abuse": 2, "animal_abuse": 5, "privacy_violation": 6, "drug_abuse": 20}
    counts["drug_abuse_weapons_banned_substance"] = counts.pop("drug_abuse")
    items = {
        f"{category} {n}": {"flagged": float(n % 2), f"flagged_{category}": float(n % 2)}
        for category, count in counts.items()
        for n in range(count)
    }
    made = {"beavertails": {"base": items, "x": items}}
    run = make_run(folder / "run", {"base": BASE, "x": arm("INFP")}, made, note="")
    found, text, page = rows(run), table(run), report(run)
    said = text.partition("No rows of their own, with fewer than 6 items: ")[2]
    for category, n in counts.items():
        yield category, expect(f"flagged_{category}" in {row["metric"] for row in found}, n >= 6)
        yield f"{category}: named", expect(category in said.partition(" in beavertails.")[0], n < 6)
        yield f"{category}: its label", has(page, no=[f"towards {category}", f"({category})"])
    yield "the least", expect(min(row["n"] for row in found), 6)
    yield "the family", has(text, f"of the {len(found)} comparisons of the run")


@kind("at a ceiling or floor there is no verdict, and a heuristic is none on safety")
def ceilings(folder: Path) -> Iterator[tuple[str, str]]:
    for label, before, after, limit in (
        ("all", [1.0] * 40, [1.0] * 40, "ceiling"),
        ("nearly all", [1.0] * 40, [0.0] + [1.0] * 39, "ceiling"),
        ("none", [0.0] * 40, [0.0] * 40, "floor"),
        ("in between", [0.0, 1.0] * 20, [1.0, 0.0] * 20, ""),
    ):
        for note in ("", HEURISTIC):
            made = {"beavertails": {"base": values("flagged", before), "x": values("flagged", after)}}
            run = make_run(folder / f"{label}{note}", {"base": BASE, "x": arm()}, made, note=note)
            text = table(run)
            yield f"{label} {note}: said", expect(f" {limit} " in text if limit else "ceiling" in text, bool(limit))
            yield f"{label} {note}: heuristic", expect("does not measure safety" in text, bool(note))
            verdict = "Nothing moved measurably" in text or "did not move measurably" in text
            yield f"{label} {note}: verdict", expect(verdict, not limit and not note)


@kind("what is left out is named with its reason")
def left_out(folder: Path) -> Iterator[tuple[str, str]]:
    odds = {"base": values("log_odds_EI", range(12)), "x": values("log_odds_EI", range(1, 13))}
    arms = {"base": BASE, "x": arm("INFP"), "y": arm("ENTJ")}
    waiting = make_run(folder / "a", arms, {"situations": odds | {"y": {}}}, unfinished=[("y", "situations")])
    yield "an arm", has(table(waiting), "Not finished, and left out: situations with y.")
    lonely = make_run(folder / "b", arms, {"situations": odds, "mbti": {"x": values("agreement_EI", [50.0] * 8)}})
    yield "a baseline", has(table(lonely), "x against base on mbti, where base has no result")
    whole = make_run(folder / "c", arms, {"situations": odds, "ppl": {"base": {"i": {}}, "x": {"i": {}}}})
    yield "a task without items", has(table(whole), "Left out: ppl, whose scores are not of single items")
    apart = {"base": values("acc", [1.0, 0.0]), "x": {"acc-0": {}, "acc-1": {}}}
    none = make_run(folder / "d", arms, {"situations": odds, "theirs": apart})
    yield "no number", has(table(none), "Left out: acc in theirs, which has a value for no item in both x and base.")
    alone = make_run(folder / "e", arms, {"situations": odds})
    yield "the family's size", has(table(alone), "of the 3 comparisons of the run")
    yield "on the page", has(report(none), "Left out: acc in theirs")


@kind("prompts that ask for harm stand folded, and no other judge's page is the run's")
def pages(folder: Path) -> Iterator[tuple[str, str]]:
    made = {"beavertails": {"base": values("flagged", [0.0, 1] * 4), "x": values("flagged", [1.0, 0] * 4)}}
    run = make_run(folder / "run", {"base": BASE, "x": arm()}, made, note="")
    page = report(run)
    outside = "".join(part.partition("</details>")[2] for part in ("</details>" + page).split("<details"))
    yield "folded", has(outside, no=["Ask for harm", "answer to"]) or has(page, "<summary>self harm</summary>")
    yield "a sentence of its own", has(page, "harmful answers. beavertails is judged by made")
    for cell in (run / "cells").iterdir():
        lines = (cell / "samples.jsonl").read_text().splitlines()
        judge = {"name": "other", "version": "1", "settings": {}}
        verdicts = [{"id": json.loads(line)["item"], "category": "", "flagged": True, "judge": judge} for line in lines]
        write_jsonl(cell / "verdicts-other.jsonl", verdicts)
    exit_code, _, errors = command("report", run, "--judge", "other")
    yield "another judge", expect((exit_code, errors), (0, ""))
    yield "its own page", expect((run / "report-other.html").is_file(), True)
    yield "the run's", expect((run / "report.html").read_text(encoding="utf-8"), page)
