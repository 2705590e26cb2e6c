"""What is kept of a cell: each filter's scores apart, documents of any content, and what is no number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from odd_tasks import CHOICE, FILTERS, UTILS, WRITTEN, evaluate, only_result, only_samples, register, write_tasks

from lapd.adapters.adapter import resolve_adapter
from lapd.answering.documents import forgive_aggregates, samples_of, totals_of
from lapd.answering.generation import decode
from lapd.answering.lm import PackedLM
from lapd.answering.numbers import check_likelihoods
from lapd.catalog.find import find_task
from lapd.catalog.scoring import score_responses
from lapd.compare.comparisons import compare
from lapd.errors import DataError, ModelError
from lapd.models.base import BaseModel, resolve_base
from lapd.record.cells import Arm
from lapd.record.store import Store
from lapd.testing.tiny import make_tiny_base


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("tiny"))))


class FakeTask:
    """As much of a live task as its totals need."""

    OUTPUT_TYPE = "generate_until"

    def __init__(self, **aggregates: Any) -> None:
        self.aggregates = aggregates

    def aggregation(self) -> dict[str, Any]:
        return self.aggregates


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def row(n: int, name: str = "none", **metrics: Any) -> dict[str, Any]:
    asked = {"doc_id": n, "doc": {"id": f"d{n}"}, "target": "text", "arguments": [("?", {"until": []})]}
    return {
        **asked,
        "resps": [["text"]],
        "filter": name,
        "filtered_resps": ["text"],
        "metrics": list(metrics),
        **metrics,
    }


def test_each_filter_of_a_task_has_its_own_metrics_and_documents_count_once(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, write_tasks(tmp_path / "tasks", twofold=WRITTEN + FILTERS))
    monkeypatch.setattr(PackedLM, "_write_batch", lambda self, batch, *_: ["#### 4 or 6"] * len(batch.rows))
    store = evaluate(tiny, tmp_path / "run", ["twofold"])
    result, samples = only_result(store), only_samples(store)
    # 2 + 2 is the strict answer, and 3 + 3 what the last number says.
    assert result["metrics"] == {"exact_match,strict-match": 1 / 6, "exact_match,flexible-extract": 1 / 6}
    assert (result["n_documents"], len(samples)) == (6, 6)
    assert samples[2]["metrics"] == {"exact_match,strict-match": 1.0, "exact_match,flexible-extract": 0.0}
    assert samples[3]["filtered"] == {"strict-match": ["4"], "flexible-extract": ["6"]}


def test_a_single_filter_keeps_the_plain_name(tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = "filter_list: [{name: maj, filter: [{function: take_first}]}]\n"
    register(monkeypatch, write_tasks(tmp_path / "tasks", onefold=WRITTEN + one))
    store = evaluate(tiny, tmp_path / "run", ["onefold"], limit=2)
    result, sample = only_result(store), only_samples(store)[0]
    assert list(result["metrics"]) == list(sample["metrics"]) == ["exact_match"]
    assert sample["filtered"] == {"maj": sample["responses"][0]}
    assert sample["target"] == sample["doc"]["answer"]
    assert result["lm_eval"]["higher_is_better"] == {"exact_match": True}
    assert result["lm_eval"]["n_samples"] == {"original": 6, "effective": 2}
    assert result["lm_eval"]["config"]["output_type"] == "generate_until"


def test_filters_are_compared_apart_and_older_cells_are_named(
    tiny: BaseModel, tmp_path: Path, make_adapter: Any
) -> None:
    store = Store(tmp_path / "run")
    arms = [Arm(), Arm(resolve_adapter(make_adapter(base_digest=tiny.digest)))]
    for arm, shift in zip(arms, (0.0, 1.0), strict=True):
        write_cell(
            store,
            tiny,
            arm,
            [row(n, f, exact_match=float(n % 2 or (f == "b" and shift))) for f in "ab" for n in range(12)],
        )
    compared = compare(store.folder)
    found = {r.metric: r.difference for r in compared.rows if not r.coherence}
    assert found == {"exact_match,a": 0.0, "exact_match,b": 0.5}
    assert compared.warnings == []
    for entry in store.finished():  # as LAPD 0.1 wrote them: a document once for each filter, by one name
        path = store.cell_folder(entry["cell"]) / "samples.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        old = [{**r, "metrics": {"exact_match": r["metrics"][f"exact_match,{f}"]}} for f in "ab" for r in rows]
        path.write_text("".join(json.dumps(r) + "\n" for r in old))
    compared = compare(store.folder)
    assert [r.metric for r in compared.rows if not r.coherence] == ["exact_match"]
    assert "an older LAPD averaged" in " ".join(compared.warnings)


def write_cell(store: Store, base: BaseModel, arm: Arm, rows: list[dict[str, Any]]) -> None:
    """A finished cell of the task situations_open, with these documents."""
    from lapd.evaluate.plan import make_cells
    from lapd.files.whole import write_json, write_jsonl
    from lapd.record.cells import Settings

    (cell,) = make_cells(base, [arm], [find_task("situations_open")], Settings())
    store.enter([cell])
    folder = store.cell_folder(cell.name)
    write_jsonl(folder / "samples.jsonl", samples_of(rows, FakeTask(), None))
    result = {"schema": "lapd.result/1", "cell": cell.identity(), "arm": arm.name, "metrics": {}}
    write_json(folder / "result.json", result)


def test_stored_responses_are_scored_by_each_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, write_tasks(tmp_path / "tasks", twofold=WRITTEN + FILTERS))
    path = tmp_path / "responses.jsonl"
    path.write_text("".join(json.dumps({"id": f"a{n}", "response": "#### 4 or 6"}) + "\n" for n in range(6)))
    metrics = score_responses("twofold", path).metrics
    assert metrics == {"exact_match,strict-match": 1 / 6, "exact_match,flexible-extract": 1 / 6}


ODD = """
import datetime, decimal
from datasets import Dataset

def odd(**_):
    values = {
        "when": datetime.datetime(2024, 1, 2, 3), "day": datetime.date(2024, 1, 2), "raw": bytes([1, 255]),
        "nan": float("nan"), "inf": -float("inf"), "part": decimal.Decimal("2.5"), "deep": {"list": [float("nan")]},
    }
    rows = [{"id": f"o{n}", "question": "Is it odd?", "gold": n % 2, **values} for n in range(2)]
    return {"test": Dataset.from_list(rows)}
"""


def test_a_cell_of_documents_that_json_has_no_form_for_is_written(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml = CHOICE.replace("utils.sums", "utils.odd")
    register(monkeypatch, write_tasks(tmp_path / "tasks", ODD, oddly=yaml))
    doc = only_samples(evaluate(tiny, tmp_path / "run", ["oddly"]))[0]["doc"]
    assert (doc["when"], doc["day"], doc["raw"]) == ("2024-01-02T03:00:00", "2024-01-02", "01ff")
    assert (doc["nan"], doc["inf"], doc["part"], doc["deep"]) == (None, None, "2.5", {"list": [None]})


def test_documents_and_answers_of_any_content_are_kept_as_json_can_carry_them() -> None:
    import numpy as np

    doc = {"id": b"\xff", "half": "a\ud83d", "array": np.array([1.0, math.nan]), "number": np.int64(7), "many": {3}}
    odd = row(0, acc=1.0) | {"doc": doc, "resps": [["b\udfff"], [(-1.5, True)]], "arguments": [("c\ud800", {"x": {1}})]}
    (sample,) = samples_of([odd], FakeTask(), "id")
    assert sample["item"] == "ff"
    assert sample["doc"] == {"id": "ff", "half": "a\ufffd", "array": [1.0, None], "number": 7, "many": [3]}
    assert sample["responses"] == [["b\ufffd"], [[-1.5, True]]]
    assert sample["arguments"] == [["c\ufffd", {"x": [1]}]]
    json.dumps(sample, allow_nan=False).encode()


SCORES = """
def scores(doc, results):
    n = int(doc["id"][1:])
    return {"acc": float("nan") if n == 2 else 1.0 * n, "far": float("inf") if n == 1 else 1.0, "none": float("nan")}
"""


def test_metrics_without_numbers_are_counted_and_the_others_kept(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ", ".join(f"{{metric: {name}, aggregation: mean}}" for name in ("acc", "far", "none"))
    yaml = WRITTEN.replace("metadata:", "process_results: !function utils.scores\nmetadata:")
    yaml = yaml.replace("[{metric: exact_match, aggregation: mean, higher_is_better: true}]", f"[{listed}]")
    register(monkeypatch, write_tasks(tmp_path / "tasks", UTILS + SCORES, lacking=yaml))
    from lapd.experiment.arms import evaluate_arms

    store = evaluate_arms(tiny, [Arm()], ["lacking"], tmp_path / "run")
    result = only_result(store)
    assert result["metrics"] == {"acc": pytest.approx((0 + 1 + 3 + 4 + 5) / 5), "far": 1.0}
    assert result["missing"] == {"acc": 1, "far": 1, "none": 6}
    assert "acc" not in only_samples(store)[2]["metrics"]
    shown = capsys.readouterr().err
    assert "base on lacking: acc is no number in 1 of 6 documents" in shown
    assert "none comes to no number over the 6 documents" in shown


def test_an_aggregate_that_fails_leaves_the_others() -> None:
    def beyond(values: list[float]) -> float:
        return math.exp(1e6)

    task = FakeTask(acc=mean, perplexity=beyond)
    forgive_aggregates(task)
    rows = [row(n, acc=1.0, perplexity=2.0) for n in range(3)]
    results = {f"{name},none": task.aggregation()[name]([r[name] for r in rows]) for name in ("acc", "perplexity")}
    totals = totals_of({**results, "acc_stderr,none": "N/A", "sample_len": 3}, rows, task)
    assert (totals.metrics, totals.missing) == ({"acc": 1.0}, {"perplexity": 0})


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    import numpy as np

    rows = [row(0, a=np.float32(0.5), b=np.int64(3), c=np.bool_(True), d=torch.tensor(2.0), e=np.array([1, 2]), f="x")]
    assert samples_of(rows, FakeTask(), None)[0]["metrics"] == {"a": 0.5, "b": 3.0, "c": 1.0, "d": 2.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_log_likelihoods_that_are_no_numbers_stop_the_first_batch(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    register(monkeypatch, write_tasks(tmp_path / "tasks", plain=CHOICE))
    batches = []

    def beyond_range(self: Any, batch: Any, prefix: Any) -> list[tuple[float, bool]]:
        batches.append(batch)
        return [(value, False) for row in batch.rows for _ in row.continuations]

    monkeypatch.setattr(PackedLM, "_score_batch", beyond_range)
    with pytest.raises(ModelError, match=r"as base on plain, gives log-likelihoods that are no numbers in float32\."):
        from lapd.experiment.arms import evaluate_arms

        evaluate_arms(tiny, [Arm()], ["plain"], tmp_path / "run", batch_size=1, quiet=True)
    assert len(batches) == 1
    assert not Store(tmp_path / "run").finished()


def test_the_advice_goes_by_the_precision() -> None:
    for dtype, advice in ((torch.float16, "--dtype float32, or bfloat16"), (torch.bfloat16, "--dtype float32.")):
        with pytest.raises(ModelError, match=rf"no numbers in {str(dtype)[6:]}\..*{advice}"):
            check_likelihoods([(-1.0, True), (math.nan, False)], "The model", dtype)
    check_likelihoods([(-1.0, True), "text", [-2.0, False]], "The model", torch.float16)


def test_weights_without_numbers_are_found_before_anything_is_asked(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from lapd.answering.engine import Engine

    folder = make_tiny_base(tmp_path / "tiny")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "mlp" in name)
    save_file({**weights, name: weights[name] * math.nan}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=rf"base model {folder} gives logits that are no numbers in float32"):
        Engine(resolve_base(str(folder)), [])


def test_an_answer_is_not_written_from_logits_that_are_no_numbers(tiny: BaseModel) -> None:
    from lapd.models.loading import load_base

    model, _ = load_base(tiny)
    model.lm_head.weight.data[7] = math.nan
    with pytest.raises(ModelError, match="X gives logits that are no numbers in float32"):
        decode(model, [(5, 6)], 3, lambda written: False, called="X")


def test_a_rolling_task_has_a_value_for_each_document(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml = """
task: rolls
custom_dataset: !function utils.pages
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{page}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
metadata: {version: 1.0}
"""
    register(monkeypatch, write_tasks(tmp_path / "tasks", rolls=yaml))
    store = evaluate(tiny, tmp_path / "run", ["rolls"])
    result, samples = only_result(store), only_samples(store)
    text = samples[1]["doc"]["page"]
    bits = -samples[1]["responses"][0][0] / len(text.encode()) / math.log(2)
    assert samples[1]["metrics"]["bits_per_byte"] == pytest.approx(bits)
    assert samples[1]["metrics"]["byte_perplexity"] == pytest.approx(2**bits)
    assert samples[-1]["metrics"] == {}  # an empty page
    assert set(result["metrics"]) == {"word_perplexity", "byte_perplexity", "bits_per_byte"}


def test_a_task_of_the_hub_is_one_line_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lapd.catalog.live import load_task

    register(
        monkeypatch,
        write_tasks(
            tmp_path / "tasks",
            far=CHOICE.replace("custom_dataset: !function utils.sums", "dataset_path: nobody/nothing"),
            broken=CHOICE.replace("utils.sums", "utils.nothing"),
        ),
    )
    import datasets

    def offline(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach 'nobody/nothing' on the Hub (OfflineModeIsEnabled)\nmore")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        DataError, match=r"far: this task cannot be loaded \(ConnectionError: .*get a network"
    ) as caught:
        load_task(find_task("far"))
    assert "\n" not in str(caught.value)
    for error in (TimeoutError("timed out"), OSError(101, "Network is unreachable"), OSError(-3, "Name resolution")):
        monkeypatch.setattr(datasets, "load_dataset", Mock(side_effect=error))
        with pytest.raises(DataError, match="get a network"):
            load_task(find_task("far"))
    with pytest.raises(DataError, match=r"broken: this task cannot be loaded \(AttributeError"):
        load_task(find_task("broken"))
