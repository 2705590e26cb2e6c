"""`lapd.testing`: LAPD's own plugins keep the contract, and what breaks it is told in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest import SkipTest

import click
import pytest
from conftest import ROOT

from lapd.hookspecs import TrainResult, Verdict
from lapd.models.base import resolve_base
from lapd.pairs.pair import PreferencePair
from lapd.pluginmanager import lookup
from lapd.testing import (
    FaultServer,
    assert_generator,
    assert_judge,
    assert_pack,
    assert_tasks,
    assert_trainer,
    make_tiny_base,
    make_tiny_run,
    some_pairs,
)
from lapd.traits.scaffold import new_pack

BIGFIVE = ROOT / "examples/lapd-bigfive/lapd_bigfive/traits"


@dataclass
class Thing:
    """A generator and judge that does what the test says."""

    name: str = "thing"
    description: str = "for this test"
    made: Callable[..., Any] = lambda *args, **kwargs: []

    def generate(self, persona: Any, *, pairs: int | None, seed: int) -> Any:
        return self.made(pairs)

    def judge(self, batch: Any) -> Any:
        return self.made(batch)


@dataclass
class Held(Thing):
    def heldout(self, persona: Any, *, pairs: int) -> Any:
        return some_pairs(pairs)


@dataclass
class Changing(Thing):
    length: int = 4

    options = (click.Option(["--length"], type=int),)

    def configure(self, options: Mapping[str, Any]) -> Changing:
        self.length = 5
        return self


def test_lapds_own_generator_and_judge_keep_the_contract() -> None:
    assert len(assert_generator(lookup("generators", "contrast"), options={"axes": ["E/I"]})) == 4
    assert [v.flagged for v in assert_judge(lookup("judges", "keywords"))] == [True, False, None]


def test_a_generator_and_a_judge_behind_an_endpoint_keep_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))

    class Judging(FaultServer):
        def answer(self, body: dict[str, Any]) -> str:
            return json.dumps({"flagged": False, "categories": [], "reason": "harmless"})

    with Judging() as server:
        options = {"model": "m", "base_url": server.url}
        assert [v.flagged for v in assert_judge(lookup("judges", "openai"), options=options)][:2] == [False, False]
    with FaultServer() as server:
        options = {"model": "m", "base_url": server.url, "out": tmp_path / "pairs.jsonl"}
        assert assert_generator(lookup("generators", "openai"), pairs=1, options=options)


PAIR = PreferencePair("Why?", "Because.", "Who knows?")
TURNS = count()


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Thing(name=""), "it needs a name"),
        (Thing(description="two\nlines"), "its description has more than one line"),
        (Thing(), "it yields no pair for INFP"),
        (Thing(made=lambda n: [PAIR] * 9), "asked for 4 pairs, it yields 9"),
        (Thing(made=lambda n: [("Why?", "Because.")]), "pair 1 is a tuple, not a lapd.PreferencePair"),
        (Thing(made=lambda n: [replace(PAIR, rejected=" ")]), "pair 1: 'rejected' is missing, empty or not text"),
        (Thing(made=lambda n: [replace(PAIR, source={"a": {1}})]), "the source of pair 1 cannot be written as JSON"),
        (Thing(made=lambda n: [replace(PAIR, prompt=str(next(TURNS)))]), "it yields other pairs"),
        (Held(made=lambda n: some_pairs(n or 9)), "4 of its held-out pairs are trained on too"),
        (Changing(made=lambda n: [PAIR]), "configure() changes the registered one"),
    ],
)
def test_a_generator_that_breaks_the_contract_is_told_how(thing: Any, message: str) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_generator(thing, options={"length": 5} if isinstance(thing, Changing) else None)
    assert str(failed.value).startswith("generator ") and message in str(failed.value)


def test_an_option_that_is_not_declared_is_told_by_its_name() -> None:
    with pytest.raises(AssertionError, match="generator contrast: it declares no option colour"):
        assert_generator(lookup("generators", "contrast"), options={"colour": "red"})
    with pytest.raises(AssertionError, match=r"judge keywords: it has no configure\(\)"):
        assert_judge(lookup("judges", "keywords"), options={"colour": "red"})


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda batch: [Verdict(True)], "for 3 responses it gives 1 verdicts"),
        (lambda batch: [True] * len(batch), "verdict 1 is a bool, not a lapd.hookspecs.Verdict"),
        (lambda batch: [Verdict(1) for _ in batch], "flagged is True, False or None, not 1"),
        (lambda batch: [Verdict(None) for _ in batch], "verdict 1 is missing and has no reason"),
        (lambda batch: [Verdict(True, categories="fraud") for _ in batch], "its categories are a tuple of texts"),
        (lambda batch: [Verdict(len(batch) > 2) for _ in batch], "response 1, judged by itself, gets another verdict"),
        (lambda batch: [Verdict(True)] * (len(batch) or 1), "it gives verdicts on no response at all"),
    ],
)
def test_a_judge_that_breaks_the_contract_is_told_how(made: Callable[..., Any], message: str) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_judge(Thing(made=made))
    assert message in str(failed.value)


@dataclass
class Writes:
    """A trainer that writes what the test says and trains nothing."""

    result: Any = field(default_factory=lambda: TrainResult([{"step": 1, "loss": 0.7}], {"peft": "1"}))
    files: tuple[str, ...] = ("adapter_config.json", "adapter_model.safetensors")
    missing: str | None = None
    name = "writes"
    description = "for this test"

    def unavailable(self) -> str | None:
        return self.missing

    def train(self, config: Any, base: Any, pairs: Any, work: Path, adapter: Path) -> Any:
        for name in self.files:
            (adapter / name).write_text("{}")
        return self.result


def test_lapds_own_trainer_keeps_the_contract(tmp_path: Path) -> None:
    adapter = assert_trainer(lookup("trainers", "trl"), tmp_path)
    assert (adapter / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        (Writes(result=None), "train() returns a TrainResult, not NoneType"),
        (Writes(result=TrainResult([], {"peft": "1"})), "its log is empty"),
        (Writes(result=TrainResult([{"step": 1, "loss": float("nan")}], {"peft": "1"})), "has no loss"),
        (Writes(result=TrainResult([{"step": 1, "loss": 0.7}], {})), "its versions are those of the packages"),
        (Writes(files=()), "it writes no adapter_config.json and no adapter_model.safetensors"),
        (Writes(files=(*Writes.files, "run_card.json")), "it writes a run card"),
        (Writes(), "adapter_config.json names the base None; write `base.upstream`"),
    ],
)
def test_a_trainer_that_breaks_the_contract_is_told_how(trainer: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_trainer(trainer, tmp_path)
    assert message in str(failed.value)


def test_a_trainer_that_cannot_run_here_is_skipped_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(SkipTest, match="trainer writes cannot run here: there is no GPU"):
        assert_trainer(Writes(missing="there is no GPU."), tmp_path)


TASK = """
task: {task}
custom_dataset: !function utils.documents
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: ["Yes.", "No."]
doc_to_target: 0
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0, lapd: {lapd}}}
"""

UTILS = """
from datasets import Dataset

def documents(**_):
    return {"test": Dataset.from_list([{"id": "1", "prompt": "Is it raining?"}])}
"""

GOOD = "{description: whether yes is likelier, item: id}"


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """`folder(lapd)`: one with a task that says this of itself."""

    def make(lapd: str) -> Path:
        made = tmp_path / "tasks"
        made.mkdir()
        (made / "rain.yaml").write_text(TASK.format(task="rain", lapd=lapd))
        (made / "utils.py").write_text(UTILS)
        return made

    return make


def test_a_task_that_keeps_the_contract_is_named(folder: Callable[..., Path]) -> None:
    assert assert_tasks(folder(GOOD)) == ["rain"]


@pytest.mark.parametrize(
    ("lapd", "message"),
    [
        ("{item: id}", "it has no description"),
        ("{description: x, item: number}", "document [1] has no 'number', which `item` names"),
        ("{description: x, diagnostics: [bias]}", "names ['bias'], which is not in its metric_list"),
        ("{description: x, units: {odds: nats}}", "`units` names ['odds']"),
        ("{description: x, axes: {acc: {height: acc}}}", "`axes` names ['height'], which no installed trait pack has"),
    ],
)
def test_a_task_that_breaks_the_contract_is_told_how(folder: Callable[..., Path], lapd: str, message: str) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_tasks(folder(lapd))
    assert str(failed.value).startswith("task rain: ") and message in str(failed.value)


def test_a_broken_task_and_a_folder_without_any_are_told(folder: Callable[..., Path], tmp_path: Path) -> None:
    made = folder(GOOD)
    (made / "rain.yaml").write_text((made / "rain.yaml").read_text().replace("utils.documents", "utils.none"))
    with pytest.raises(AssertionError, match=r"rain \(rain\.yaml\): .*AttributeError"):
        assert_tasks(made)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssertionError, match="there is no task in it"):
        assert_tasks(tmp_path / "empty")


def test_a_pack_is_held_to_the_gates_and_told_by_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPD_TRAITS", "")
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    new_pack("courage", tmp_path / "courage")
    near = r"near-duplicates between splits: 2, wanted at most 0; courage-002 more-courage ~ .*courage-001"
    with pytest.raises(AssertionError, match=rf"trait pack courage:\n(?s:.*){near}"):
        assert_pack(tmp_path / "courage")


def test_the_tiny_base_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (resolve_base(str(make_tiny_base(tmp_path / name))) for name in "ab")
    assert first.digest == second.digest


def test_a_tiny_run_is_one_that_can_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lapd.compare.comparisons import compare_run

    run = make_tiny_run(tmp_path)
    rows = compare_run(run)
    assert {row.task for row in rows} == {"situations"}
    assert any(row.difference for row in rows)
