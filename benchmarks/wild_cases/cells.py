"""Tasks: their filters, documents, groups and files, and what is made of them in a cell."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from wild_cases import command, expect, kind, problem, without_warnings

Case = tuple[str, str]

UTILS = """
import datetime, decimal
from datasets import Dataset

ASKED = [{"id": f"a{n}", "question": f"What is {n} plus {n}?", "answer": str(2 * n), "gold": n % 2} for n in range(5)]
ODD = {
    "times": {"x": datetime.datetime(2024, 1, 2, 3)}, "dates": {"x": datetime.date(2024, 1, 2)},
    "bytes": {"x": bytes([1, 255])}, "nan": {"x": float("nan"), "y": [float("inf"), 1.0]},
    "decimals": {"x": decimal.Decimal("2.5")}, "durations": {"x": datetime.timedelta(hours=1)},
    "deep": {"x": {"list": [float("nan"), 1.0], "when": datetime.date(2024, 1, 2)}},
}

def made(**more):
    return {"test": Dataset.from_list([{**row, **more} for row in ASKED])}

def plain(**_):
    return made()

def lengths(doc, results):
    return {"length": float(len(str(results[0]))), "first": float(ord(str(results[0] or "x")[0]))}

def nan_lengths(doc, results):
    n = int(doc["id"][1:])
    return {"length": float("nan") if n == 2 else float(n), "first": float("inf") if n else 1.0}

for name, more in ODD.items():
    exec(f"def {name}(**_): return made(**ODD[{name!r}])")
"""

CHOICE = """
task: NAME
custom_dataset: !function utils.plain
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: ["Yes.", "No."]
doc_to_target: gold
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0, lapd: {item: id}}
"""

WRITTEN = """
task: NAME
custom_dataset: !function utils.plain
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
process_results: !function utils.lengths
generation_kwargs: {until: [], do_sample: false, max_gen_toks: 6}
metric_list: [{metric: length, aggregation: mean}, {metric: first, aggregation: mean}]
metadata: {version: 1.0, lapd: {item: id}}
"""

FILTERS = {
    "none": [],
    "whole": ["take_first"],
    "lower": ["lowercase", "take_first"],
    "bare": ["remove_whitespace", "take_first"],
}


@contextmanager
def known(folder: Path, **yamls: str) -> Iterator[Path]:
    """A folder of tasks, as a plugin brings one: each YAML under its name, which it has in place of NAME."""
    from lapd.hookspecs import TaskFolder
    from lapd.pluginmanager import registry

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "utils.py").write_text(UTILS)
    for name, text in yamls.items():
        (folder / f"{name}.yaml").write_text(text.replace("NAME", name))
    registry("tasks")["wild"] = TaskFolder("wild", folder)
    try:
        yield folder
    finally:
        del registry("tasks")["wild"]


def filtered(*names: str) -> str:
    """A task's list of filters."""
    listed = [{"name": name, "filter": [{"function": f} for f in FILTERS[name]]} for name in names]
    return f"filter_list: {json.dumps(listed)}\n" if names else ""


def evaluated(base: Path, out: Path, *tasks: str, arms: str = "base") -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Each task's result and documents, after `lapd eval`, read as strictly as JSON is meant."""
    from lapd.record.store import Store

    with without_warnings():
        code, _, errors = command("eval", "--base", base, "--arms", arms, "--tasks", ",".join(tasks), "-o", out)
    if code:
        raise AssertionError(errors)
    store = Store(out)
    found = {}
    for entry in store.finished():
        text = (store.cell_folder(entry["cell"]) / "samples.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line, parse_constant=lambda name: f"bare {name}") for line in text.splitlines()]
        found[entry["task"]] = store.result(entry["cell"]), rows
    return found


def stock(base: Path, folder: Path, *tasks: str) -> dict[str, Any]:
    """What lm-eval itself gives."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    model = f"pretrained={base},dtype=float32"
    with without_warnings(), redirect_stderr(io.StringIO()):
        result: dict[str, Any] = simple_evaluate(
            "hf", model_args=model, tasks=list(tasks), task_manager=manager, device="cpu", bootstrap_iters=0,
            apply_chat_template=True, log_samples=False,
        )  # fmt: skip
    return result


@kind("each filter of a task has its own numbers, lm-eval's, and a document counts once", slow=True)
def several_filters(folder: Path) -> Iterator[Case]:
    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    sets = {"f0": (), "f1": ("whole",), "f2": ("whole", "bare"), "f3": ("lower", "whole", "bare")}
    yamls = {name: WRITTEN + filtered(*names) for name, names in sets.items()}
    with known(folder / "tasks", **yamls) as tasks:
        ours, theirs = evaluated(base, folder / "run", *sets), stock(base, tasks, *sets)["results"]
    for name, names in sets.items():
        result, rows = ours[name]
        wanted = {
            f"{metric},{f}" if len(names) > 1 else metric: round(theirs[name][f"{metric},{f}"], 6)
            for f in names or ("none",)
            for metric in ("length", "first")
        }
        yield f"{name}: metrics", expect({k: round(v, 6) for k, v in result["metrics"].items()}, wanted)
        yield f"{name}: documents", expect((result["n_documents"], len(rows)), (5, 5))
        yield f"{name}: of a document", expect([set(row["metrics"]) for row in rows], [set(wanted)] * 5)


@kind("a document of any content is kept as JSON can carry it")
def odd_documents(folder: Path) -> Iterator[Case]:
    import datetime
    from decimal import Decimal

    import numpy as np
    import torch

    from lapd.answering.documents import samples_of, totals_of

    class Task:
        OUTPUT_TYPE = "generate_until"

        def aggregation(self) -> dict[str, Any]:
            return {"acc": lambda values: sum(values) / len(values)}

    nan, inf = math.nan, math.inf
    moment = datetime.datetime(2024, 1, 2, 3)
    values: dict[str, tuple[Any, Any]] = {
        "time": (moment, "2024-01-02T03:00:00"),
        "date": (moment.date(), "2024-01-02"),
        "bytes": (b"\x01\xff", "01ff"),
        "nan": (nan, None),
        "nan inside": ({"a": [nan, 1.0, {"b": -inf}]}, {"a": [None, 1.0, {"b": None}]}),
        "numpy nan": (np.float32("nan"), None),
        "numpy array": (np.array([[1.0, inf]]), [[1.0, None]]),
        "numpy time": (np.datetime64("2024-01-02"), "2024-01-02"),
        "tensor": (torch.tensor([1, 2]), [1, 2]),
        "decimal": (Decimal("2.5"), "2.5"),
        "half a character": ("a\ud800b", "a\ufffdb"),
        "tuple": ((1, (2,)), [1, [2]]),
        "keys": ({1: "x", None: "y", (2, 3): "z"}, None),
        "path": (Path("/a"), "/a"),
    }
    for label, (value, wanted) in values.items():
        shared = {"doc_id": 0, "doc": {"id": "x", "v": value}, "arguments": [("?", {"until": [value]})]}
        row = {
            **shared,
            "filter": "none",
            "resps": [[value]],
            "filtered_resps": [value],
            "metrics": ["acc"],
            "acc": 1.0,
        }
        (sample,) = samples_of([row], Task(), "id")
        json.dumps(sample, allow_nan=False).encode()
        yield label, "" if label == "keys" else expect(sample["doc"]["v"], wanted)
    for label, number in (
        ("nan", nan),
        ("inf", inf),
        ("numpy nan", np.float64("nan")),
        ("tensor nan", torch.tensor(nan)),
    ):
        rows = [
            {"doc_id": n, "filter": "none", "metrics": ["acc"], "acc": number if n == 1 else float(n)} for n in range(4)
        ]
        totals = totals_of({"acc,none": nan}, rows, Task())
        yield f"metric {label}", expect((totals.metrics, totals.missing), ({"acc": 5 / 3}, {"acc": 1}))


@kind("a cell whose documents or metrics JSON has no form for is written, and lacks are counted", slow=True)
def odd_cells(folder: Path) -> Iterator[Case]:
    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    odd = ("times", "dates", "bytes", "nan", "decimals", "durations", "deep")
    yamls = {name: CHOICE.replace("utils.plain", f"utils.{name}") for name in odd}
    with known(folder / "tasks", lacks=WRITTEN.replace("utils.lengths", "utils.nan_lengths"), **yamls):
        found = evaluated(base, folder / "run", *odd, "lacks")
    for name in odd:
        rows = found[name][1]
        yield name, expect((len(rows), "bare" in json.dumps(rows)), (5, False))
    result, rows = found["lacks"]
    yield "a metric that is no number in one document", expect(result["metrics"], {"length": 2.0, "first": 1.0})
    yield "the lacks", expect(result["missing"], {"length": 1, "first": 4})
    yield "of that document", expect(rows[2]["metrics"], {})


@kind("log-likelihoods that are no numbers are a line that says which model and precision")
def no_likelihoods(folder: Path) -> Iterator[Case]:
    import torch

    from lapd.answering.numbers import check_likelihoods

    for dtype, advice in ((torch.float16, "bfloat16"), (torch.bfloat16, "float32"), (torch.float32, "The model")):
        for value in (math.nan, math.inf, -math.inf):
            for row in ((value, False), [value, True]):
                found: list[Any] = [(-1.0, True), row]
                words = ("The model", str(dtype)[6:], advice)
                yield f"{dtype} {row}", problem(lambda: check_likelihoods(found, "The model", dtype), *words)  # noqa: B023
        check_likelihoods([(-1.0, True), "a text", [-2.0, False]], "The model", dtype)


def grouped(setting: Mapping[str, Any] | None = None, **more: Any) -> str:
    """A group of first and second, with a mean of its own."""
    metrics = [{"metric": "acc", "aggregation": "mean", **more}]
    tasks = ["first", {"task": "second", **setting}] if setting else ["first", "second"]
    return json.dumps({"group": "NAME", "task": tasks, "aggregate_metric_list": metrics})


@kind("a group is its tasks, with the number that lm-eval gives it", slow=True)
def groups(folder: Path) -> Iterator[Case]:
    from lapd.evaluate.group_totals import group_totals
    from lapd.record.store import Store
    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    fewer = "process_docs: !function utils.fewer\n"
    cases = {
        "weighted": grouped(),
        "unweighted": grouped(weight_by_size=False),
        "inner": json.dumps({"group": "inner", "task": ["part"], "aggregate_metric_list": [{"metric": "acc"}]}),
        "setting": grouped({"description": "Think. "}),
    }
    parts = {"part": grouped()}
    with known(folder / "tasks", first=CHOICE, second=CHOICE + fewer, **cases, **parts) as tasks:
        with (tasks / "utils.py").open("a") as stream:
            stream.write("\ndef fewer(docs):\n    return docs.select(range(2))\n")
        for name in cases:
            found = evaluated(base, folder / name, name)
            total = {t.group: t.metrics for t in group_totals(Store(folder / name))}
            theirs = stock(base, tasks, name)
            yield f"{name}: tasks", expect(sorted(found), ["first", "second"])
            wanted = theirs.get("groups", theirs["results"])[name]["acc,none"]
            yield f"{name}: its number", expect(round(total[name]["acc"], 9), round(wanted, 9))


@kind("a name of a group or tag stands for its tasks; another is told the nearest")
def group_names(folder: Path) -> Iterator[Case]:
    from lapd.catalog.groups import find_tasks

    tagged = CHOICE + "tag: [wild_wet, wild_tag]\n"
    yamls = {
        "first": CHOICE, "second": tagged, "third": tagged,
        "nested": json.dumps({"group": "nested", "task": ["first", {"group": "part", "task": ["third"]}]}),
        "list": json.dumps({"group": "list", "task": ["wild_wet"]}),
        "both": json.dumps({"group": "both", "task": ["nested", "wild_wet"]}),
        "empty": json.dumps({"group": "empty", "task": []}),
        "astray": json.dumps({"group": "astray", "task": ["nowhere_at_all"]}),
    }  # fmt: skip
    with known(folder / "tasks", **yamls):
        for asked, wanted in (
            ("nested", ["first", "third"]),
            ("wild_wet", ["second", "third"]),
            ("wild_tag", ["second", "third"]),
            ("list", ["second", "third"]),
            ("both", ["first", "second", "third"]),
        ):
            yield asked, expect(sorted(info.name for info in find_tasks([asked], quiet=True)), wanted)
        yield "empty", problem(lambda: find_tasks(["empty"], quiet=True), "no task in the group empty")
        yield "astray", problem(lambda: find_tasks(["astray"], quiet=True), "nowhere_at_all")
        yield "misspelt", problem(lambda: find_tasks(["nestd"], quiet=True), "Did you mean nested")


@kind("whatever file settles what a task asks is in its digest, and nothing else is")
def digests(folder: Path) -> Iterator[Case]:
    from lapd.catalog.find import find_task

    def changes(place: Path, name: str = "odd") -> bool:
        place.parent.mkdir(parents=True, exist_ok=True)
        seen = set()
        for text in ("one", "two"):
            place.write_text(text)
            seen.add(find_task(name).digest(None))
        return len(seen) == 2

    names = ("items.jsonl", "items.csv", "items.parquet", "ITEMS.TSV", "items", "deep/er/items.json.gz", "items.db",
             "prompt.md", "a b.txt", "é.arrow", "more.py", "_base.yaml", "template.j2")  # fmt: skip
    others = ("README.md", "readme.MD", "LICENSE", "__pycache__/utils.pyc", ".git/x", ".DS_Store", "CHANGELOG.md")
    with known(folder / "tasks/odd", odd=CHOICE) as tasks:
        for name in (*names, *others):
            yield name, expect(changes(tasks / name), name in names)
    for number, place in enumerate(("PLACE/items.jsonl", "{test: [PLACE/*.jsonl]}", "{test: PLACE/items.jsonl}")):
        local = f"dataset_path: json\ndataset_kwargs: {{data_files: {place.replace('PLACE', str(folder / 'data'))}}}"
        (folder / "data").mkdir(exist_ok=True)
        with known(folder / f"tasks{number}", odd=CHOICE.replace("custom_dataset: !function utils.plain", local)):
            yield f"named as {place}", expect(changes(folder / "data/items.jsonl"), True)


def two_arms(folder: Path, **differing: Sequence[str]) -> list[str]:
    """What is warned of where two arms of a run were made with these versions: (baseline's, arm's)."""
    from lapd.compare.comparisons import compare
    from wild_cases.conclusions import BASE, arm, make_run, values

    odds = [float(n) for n in range(8)]
    made = {"situations": {"base": values("log_odds_EI", odds), "x": values("log_odds_EI", odds)}}
    run = make_run(folder, {"base": BASE, "x": arm("INFP")}, made)
    for number, place in enumerate(sorted((run / "cells").glob("*/result.json"))):
        record = json.loads(place.read_text())
        version = {"task_version": differing["task"][number]} if "task" in differing else {}
        record["provenance"] |= {name.replace("_", "-"): pair[number] for name, pair in differing.items()}
        place.write_text(json.dumps(record | version))
    return compare(run).warnings


@kind("arms that were made with other versions are said to be")
def versions(folder: Path) -> Iterator[Case]:
    for label, told, said in (
        ("the same", {"lapd": ("0.1.0", "0.1.0"), "lm_eval": ("0.4.13", "0.4.13")}, []),
        ("another lm-eval", {"lm_eval": ("0.4.9", "0.4.13")}, ["lm-eval 0.4.9"]),
        ("another LAPD", {"lapd": ("0.1.0", "0.2.0")}, ["lapd 0.1.0"]),
        ("another transformers", {"transformers": ("5.17.0", "5.24.0")}, ["transformers 5.17.0"]),
        ("another torch", {"torch": ("2.12.1", "2.13.0")}, ["torch 2.12"]),
        ("a patch of torch", {"torch": ("2.13.0", "2.13.1+cpu")}, []),
        ("another task", {"task": ("1.0", "2.0")}, ["of the task, base with 1.0"]),
        ("two at once", {"lapd": ("1", "2"), "lm_eval": ("3", "4")}, ["lapd 1", "lm-eval 3"]),
    ):
        found = two_arms(folder / label, **told)
        lacking = [word for word in said if not any(word in line for line in found)]
        yield label, expect((len(found), lacking), (len(said), []))
