"""Tasks as plugins bring them, written on the spot, and evaluated on the tiny base in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lapd.experiment.arms import evaluate_arms
from lapd.hookspecs import TaskFolder
from lapd.models.base import BaseModel
from lapd.pluginmanager import registry
from lapd.record.cells import Arm, Settings
from lapd.record.store import Store

UTILS = """
from datasets import Dataset

def sums(**_):
    asked = [(f"a{n}", f"What is {n} plus {n}?", str(2 * n), n % 2) for n in range(6)]
    return {"test": Dataset.from_list([dict(zip(("id", "question", "answer", "gold"), row)) for row in asked])}

def pages(**_):
    texts = ["The river was wide. " * n for n in (3, 5, 9, 4, 7, 6)] + [""]
    return {"test": Dataset.from_list([{"id": f"p{n}", "page": text.strip()} for n, text in enumerate(texts)])}
"""

CHOICE = """
task: NAME
custom_dataset: !function utils.sums
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
custom_dataset: !function utils.sums
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: [], do_sample: false, max_gen_toks: 4}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0, lapd: {item: id}}
"""

FILTERS = """
filter_list:
  - name: strict-match
    filter: [{function: regex, regex_pattern: '#### ([0-9]+)'}, {function: take_first}]
  - name: flexible-extract
    filter: [{function: regex, group_select: -1, regex_pattern: '([0-9]+)'}, {function: take_first}]
"""


def write_tasks(folder: Path, utils: str = UTILS, **yamls: str) -> Path:
    """Write a folder of tasks: each YAML under its name, which it has in place of NAME."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "utils.py").write_text(utils)
    for name, text in yamls.items():
        (folder / f"{name}.yaml").write_text(text.replace("NAME", name))
    return folder


def register(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make the folder's tasks known for the rest of the test, as a plugin would."""
    monkeypatch.setitem(registry("tasks"), "odd", TaskFolder("odd", folder))


def evaluate(
    base: BaseModel, out: Path, tasks: Sequence[str], arms: Sequence[Arm] = (Arm(),), **settings: Any
) -> Store:
    """Evaluate arms on tasks; the base alone by default."""
    return evaluate_arms(base, list(arms), tasks, out, Settings(**settings), quiet=True)


def only_result(store: Store) -> dict[str, Any]:
    """The one result of a run."""
    (entry,) = store.finished()
    return store.result(entry["cell"])


def only_samples(store: Store) -> list[dict[str, Any]]:
    """The documents of a run's one cell, read as strictly as JSON is meant."""
    (entry,) = store.finished()

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    text = (store.cell_folder(entry["cell"]) / "samples.jsonl").read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]
