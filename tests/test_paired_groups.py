"""Groups of lm-eval's own, in the shapes of tinyBenchmarks and mmlu: paired by item, counted as a cost, summed up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from odd_tasks import evaluate

from lapd.catalog import groups, lm_eval_own
from lapd.compare.comparisons import Comparison, compare
from lapd.errors import StoreError
from lapd.files.whole import read_jsonl, write_jsonl
from lapd.models.base import BaseModel, resolve_base
from lapd.names import get_persona
from lapd.record.cells import Arm
from lapd.record.store import Store
from lapd.testing.tiny import make_tiny_base

TASK = """
task: NAME
dataset_path: json
dataset_kwargs: {data_files: {train: FOLDER/train.jsonl, test: FOLDER/NAME.jsonl}}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
"""

WHOLE = """
def total(items):
    if len(items) != 12:
        raise ValueError("needs all items")
    return 0.5
"""

TINY = "metric_list: [{metric: acc_norm, aggregation: !function whole.total, higher_is_better: true}]\n"
MEAN = "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
WITH_TAG = "tag: great_stem_tasks\n"

YAMLS = {
    "small": "group: small\ntask: [{task: small_a, num_fewshot: 3}, {task: small_b, num_fewshot: 0}]\n",
    "small_a": TASK + TINY + "num_fewshot: 3\n",
    "small_b": TASK + TINY + "num_fewshot: 0\n",
    "great": "group: great\ntask: [great_stem]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n",
    "great_stem": "group: great_stem\ntask: [great_stem_tasks]\naggregate_metric_list: [{metric: acc}]\n",
    "great_a": TASK + MEAN + WITH_TAG + "num_fewshot: 2\n",
    "great_b": TASK + MEAN + WITH_TAG,
}
DOCUMENTS = {"train": 20, "small_a": 12, "small_b": 12, "great_a": 8, "great_b": 10}


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for lm-eval's own tasks."""
    from lm_eval.tasks import TaskManager

    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "whole.py").write_text(WHOLE)
    for name, text in YAMLS.items():
        (folder / f"{name}.yaml").write_text(text.replace("NAME", name).replace("FOLDER", str(folder)))
    for name, n in DOCUMENTS.items():
        rows = [{"question": f"Which letter has number {k} in {name}?", "answer": k % 4} for k in range(n)]
        write_jsonl(folder / f"{name}.jsonl", rows)

    def manager(metadata: Any = None, **_: Any) -> TaskManager:
        return TaskManager(include_path=str(folder), include_defaults=False, metadata=metadata)

    monkeypatch.setattr("lm_eval.tasks.TaskManager", manager)
    monkeypatch.setattr(groups, "names_in_lm_eval", lambda: set(YAMLS) | {"great_stem_tasks"})
    lm_eval_own._index_lm_eval.cache_clear()
    yield folder
    lm_eval_own._index_lm_eval.cache_clear()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("tiny"))))


ARMS = (Arm(), Arm(None, get_persona("INFP")))


def summed_up(rows: list[Comparison]) -> dict[str, tuple[str, str, int]]:
    return {row.task: (row.metric, row.side, row.n) for row in rows if row.primary}


def test_small_sets_are_paired_by_item_and_summed_up_one_by_one(theirs: Path, tiny: BaseModel, tmp_path: Path) -> None:
    store = evaluate(tiny, tmp_path / "run", ["small"], ARMS)
    assert summed_up(compare(store.folder).rows) == {
        "small_a": ("acc_norm", "cost", 12),
        "small_b": ("acc_norm", "cost", 12),
    }
    results = [store.result(entry["cell"]) for entry in store.finished()]
    assert {result["metrics"]["acc_norm"] for result in results} == {0.5}  # lm-eval's estimate, whatever the items say


def test_a_limit_takes_the_estimate_away_and_no_pair(theirs: Path, tiny: BaseModel, tmp_path: Path) -> None:
    store = evaluate(tiny, tmp_path / "run", ["small"], ARMS, limit=7)
    assert {task: n for task, (_, _, n) in summed_up(compare(store.folder).rows).items()} == {
        "small_a": 7,
        "small_b": 7,
    }
    assert all(store.result(entry["cell"])["metrics"] == {} for entry in store.finished())


def test_a_great_group_is_summed_up_over_all_of_its_items(theirs: Path, tiny: BaseModel, tmp_path: Path) -> None:
    rows = compare(evaluate(tiny, tmp_path / "run", ["great"], ARMS).folder).rows
    assert summed_up(rows) == {
        "great_a": ("acc", "cost", 8),
        "great_b": ("acc", "cost", 10),
        "great": ("acc", "cost", 18),
        "great_stem": ("acc", "cost", 18),
    }
    by_task = {row.task: row for row in rows if row.primary}
    assert by_task["great"].difference == pytest.approx(
        (8 * by_task["great_a"].difference + 10 * by_task["great_b"].difference) / 18
    )


def asked(store: Store, arm: str, task: str) -> list[Any]:
    (cell,) = [e["cell"] for e in store.finished() if (e["arm"], e["task"]) == (arm, task)]
    return store.samples(cell)


def test_arms_see_the_same_examples_whenever_each_was_evaluated(theirs: Path, tiny: BaseModel, tmp_path: Path) -> None:
    """Examples are drawn; a draw that went on from arm to arm would ask them differently at one place."""
    store = evaluate(tiny, tmp_path / "run", ["great", "small"], ARMS[:1])
    store = evaluate(tiny, tmp_path / "run", ["small", "great"], ARMS)
    assert not compare(store.folder).warnings
    name = ARMS[1].name
    for task in ("small_a", "great_a"):
        base, prompted = asked(store, "base", task), asked(store, name, task)
        assert [sample["item"] for sample in base] == [sample["item"] for sample in prompted]
        examples = [sample["arguments"][0][0].split("Question: ")[1:] for sample in base]
        assert examples == [sample["arguments"][0][0].split("Question: ")[1:] for sample in prompted]
        assert len({tuple(each[:-1]) for each in examples}) > 1  # they are drawn for each item


def test_items_that_changed_their_places_are_not_paired(theirs: Path, tiny: BaseModel, tmp_path: Path) -> None:
    """A data set that was published anew in between has other questions at the same places."""
    store = evaluate(tiny, tmp_path / "run", ["great_b"], ARMS)
    (cell,) = [entry["cell"] for entry in store.finished() if entry["arm"] == "base"]
    path = store.cell_folder(cell) / "samples.jsonl"
    rows = [row for _, row in read_jsonl(path)]
    moved = [{**row, "arguments": rows[-1 - n]["arguments"]} for n, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in moved))
    with pytest.raises(StoreError, match="were asked differently on great_b"):
        compare(store.folder)
