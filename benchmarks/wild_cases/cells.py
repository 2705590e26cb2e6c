"""Cells: what is kept of documents, filters and metrics."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any
from unittest import mock

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
    """The one folder of tasks that there is, as a plugin brings it: each YAML under its name, in place of NAME."""
    from lapd.hookspecs import TaskFolder
    from lapd.pluginmanager import registry

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "utils.py").write_text(UTILS)
    for name, text in yamls.items():
        (folder / f"{name}.yaml").write_text(text.replace("NAME", name))
    with mock.patch.dict(registry("tasks"), {"wild": TaskFolder("wild", folder)}, clear=True):
        yield folder


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
