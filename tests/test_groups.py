"""Groups and tags of tasks: which tasks a name stands for, what is set in them, what they come to together."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from odd_tasks import CHOICE, FILTERS, WRITTEN, evaluate, register, write_tasks

from lapd.catalog import groups
from lapd.catalog.find import find_task
from lapd.catalog.groups import find_member, find_tasks
from lapd.catalog.task import Group, GroupMetric
from lapd.compare.group_values import group_values
from lapd.errors import PluginError, UnknownNameError, UsageError
from lapd.evaluate.group_totals import group_totals
from lapd.experiment.reproduce import cell_of, read_cell
from lapd.models.base import BaseModel, resolve_base
from lapd.record.store import Store
from lapd.testing.tiny import make_tiny_base

RIVER = """
group: river
task:
  - bank
  - group: source
    task: [first, second]
    aggregate_metric_list: {metric: acc, weight_by_size: false}
aggregate_metric_list:
  - {metric: acc}
  - {metric: exact_match, filter_list: strict-match}
"""

BANK = "group: bank\ntask: [water, {task: third, num_fewshot: 1}]\n"
TAGGED = CHOICE + "tag: water\n"


@pytest.fixture
def river(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tasks with a group that holds a group, a tag, a task with a setting and an unnamed group."""
    folder = write_tasks(
        tmp_path / "tasks",
        first=CHOICE, second=WRITTEN + FILTERS, third=CHOICE, fourth=TAGGED, fifth=TAGGED, river=RIVER, bank=BANK,
    )  # fmt: skip
    register(monkeypatch, folder)
    return folder


def test_a_group_stands_for_its_tasks_in_order_with_what_it_sets(river: Path) -> None:
    found = find_tasks(["river"])
    assert [info.name for info in found] == ["fifth", "fourth", "third", "first", "second"]
    third = found[2]
    assert (third.through, json.loads(third.setting)) == ("river", {"num_fewshot": 1})
    assert all(info.through is None and not info.setting for info in found if info is not third)
    assert [group.name for group in found[3].groups] == ["river::source", "river"]
    inner, outer = found[3].groups
    assert inner == Group("river::source", ("first", "second"), (GroupMetric("acc", None, False),))
    assert outer.metrics == (GroupMetric("acc"), GroupMetric("exact_match", ("strict-match",)))
    assert len(outer.tasks) == 5


def test_a_tag_stands_for_the_tasks_that_have_it(river: Path) -> None:
    assert [info.name for info in find_tasks(["water", "situations"])] == ["fifth", "fourth", "situations"]


def test_a_setting_that_a_task_has_anyway_is_none(river: Path) -> None:
    (river / "bank.yaml").write_text("group: bank\ntask: [{task: third, output_type: multiple_choice}]\n")
    (info,) = find_tasks(["bank"])
    assert (info.through, info.setting) == (None, "")


def test_a_setting_is_in_the_digest_and_no_task_is_evaluated_in_two_ways(river: Path) -> None:
    plain, (*_, third) = find_task("third"), find_tasks(["bank"])
    assert third.name == "third" and third.digest(None) != plain.digest(None)
    with pytest.raises(UsageError, match="third is asked for twice, by itself and as bank sets it"):
        find_tasks(["third", "bank"])
    assert find_member("third", "bank") == third
    assert find_member("third", None) == plain


def test_a_group_without_tasks_and_a_name_that_is_taken_are_refused(river: Path) -> None:
    (river / "empty.yaml").write_text("group: empty\n")
    with pytest.raises(PluginError, match="no task in the group empty"):
        find_tasks(["empty"])
    (river / "empty.yaml").write_text("group: third\ntask: [first]\n")
    with pytest.raises(PluginError, match="is called 'third', which is a name already"):
        find_tasks(["river"])


@pytest.mark.parametrize("part", ["frist", "{task: frist, num_fewshot: 1}"])
def test_a_group_that_names_a_task_that_is_nowhere_is_refused(river: Path, part: str) -> None:
    (river / "astray.yaml").write_text(f"group: astray\ntask: [second, {part}]\n")
    with pytest.raises(UnknownNameError, match=r"no task 'frist'.*Did you mean first.*The group astray names it"):
        find_tasks(["astray"])


def test_groups_and_tags_are_listed_and_one_without_tasks_with_the_reason(river: Path) -> None:
    (river / "astray.yaml").write_text("group: astray\ntask: [frist]\n")
    found = groups.groups_of_plugins()
    assert (found["bank"], found["water"]) == (["fifth", "fourth", "third"], ["fifth", "fourth"])
    assert "no task 'frist'" in str(found["astray"])


def test_a_task_that_is_written_in_its_group_is_one(river: Path) -> None:
    (river / "within.yaml").write_text("group: within\ntask: [{task: inner, include: first.yaml}]\n")
    assert [info.name for info in find_tasks(["within"])] == ["within::inner"]


def test_an_unknown_name_offers_a_group(river: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean river"):
        find_tasks(["rivers"])


def test_groups_of_lm_evals_own_are_read_from_its_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def entry(kind: str, cfg: dict[str, Any] | None = None, tags: set[str] | None = None) -> SimpleNamespace:
        path = tmp_path / "theirs" / "x.yaml"
        return SimpleNamespace(kind=SimpleNamespace(name=kind), cfg=cfg, tags=tags or set(), yaml_path=path)

    index = {
        "big": entry("GROUP", {"group": "big", "task": ["part"], "aggregate_metric_list": [{"metric": "acc"}]}),
        "part": entry("GROUP", {"group": "part", "task": ["pieces"], "num_fewshot": 5}),
        "pieces": entry("TAG", None, {"piece_b", "piece_a"}),
        "piece_a": entry("TASK", {"task": "piece_a", "output_type": "multiple_choice", "num_fewshot": 5}),
        "piece_b": entry("TASK", {"task": "piece_b", "output_type": "multiple_choice"}),
    }
    monkeypatch.setattr(groups, "names_in_lm_eval", lambda: set(index))
    monkeypatch.setattr(groups, "index_lm_eval", lambda name, *, quiet: index)
    found = find_tasks(["big"])
    assert [(i.name, i.through, i.kind) for i in found] == [
        ("piece_a", None, "multiple_choice"),
        ("piece_b", "big", "multiple_choice"),
    ]
    assert [group.name for group in found[0].groups] == ["part", "big"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("tiny"))))


def test_a_group_is_evaluated_task_by_task_and_has_a_number_of_its_own(
    river: Path, tiny: BaseModel, tmp_path: Path
) -> None:
    (river / "bank.yaml").write_text("group: bank\ntask: [water]\naggregate_metric_list: [{metric: acc}]\n")
    store = evaluate(tiny, tmp_path / "run", ["bank", "first"], limit=4)
    metrics = {entry["task"]: store.result(entry["cell"])["metrics"] for entry in store.finished()}
    assert list(metrics) == ["fifth", "fourth", "first"]
    (total,) = group_totals(store)
    mean = (metrics["fifth"]["acc"] + metrics["fourth"]["acc"]) / 2
    assert (total.group, total.arm, total.tasks, total.metrics) == ("bank", "base", 2, {"acc": mean})


def test_a_task_with_a_groups_setting_is_loaded_through_it_and_can_be_reproduced(
    river: Path, tiny: BaseModel, tmp_path: Path
) -> None:
    (river / "bank.yaml").write_text("group: bank\ntask: [{task: third, description: 'Think. '}]\n")
    store = evaluate(tiny, tmp_path / "run", ["bank"], limit=2)
    (entry,) = store.finished()
    folder = store.cell_folder(entry["cell"])
    record = read_cell(folder)
    assert record["inputs"]["group"] == "bank"
    assert "Think. " in store.samples(entry["cell"])[0]["arguments"][0][0]
    assert cell_of(folder, record).task.setting == '{"description":"Think. "}'


def results(store: Store, **tasks: tuple[dict[str, float], int]) -> None:
    """Write finished cells of the base, with these metrics over so many documents."""
    record = store.run()
    for name, (metrics, n) in tasks.items():
        record["cells"][name] = {"arm": "base", "task": name, "seed": 0, "cell": name}
        folder = store.cell_folder(name)
        folder.mkdir(parents=True)
        result = {"schema": "lapd.result/1", "metrics": metrics, "n_documents": n}
        (folder / "result.json").write_text(json.dumps(result))
    (store.folder / "run.json").write_text(json.dumps(record))


def make_run(folder: Path, *metrics: dict[str, Any], tasks: tuple[str, ...] = ("a", "b")) -> Store:
    folder.mkdir(parents=True)
    record = {"schema": "lapd.run/1", "cells": {}, "groups": {"g": {"tasks": list(tasks), "metrics": list(metrics)}}}
    (folder / "run.json").write_text(json.dumps(record))
    return Store(folder)


def metric(name: str, filters: list[str] | None = None, weighted: bool = True) -> dict[str, Any]:
    return {"metric": name, "filters": filters, "weighted": weighted}


def test_a_groups_number_weighs_tasks_as_lm_eval_does(tmp_path: Path) -> None:
    for weighted, expected in ((True, (0.5 * 10 + 1.0 * 30) / 40), (False, 0.75)):
        store = make_run(tmp_path / str(weighted), metric("acc", weighted=weighted))
        results(store, a=({"acc": 0.5}, 10), b=({"acc": 1.0}, 30))
        (total,) = group_totals(store)
        assert total.metrics == {"acc": pytest.approx(expected)}


def test_a_groups_number_is_of_the_filters_that_it_names(tmp_path: Path) -> None:
    both = {"em,strict": 0.2, "em,loose": 0.6}
    for filters, expected in (
        (["strict"], {"em": 0.2}),
        (None, {"em,strict": 0.2, "em,loose": 0.6}),
        (["none"], {}),
    ):
        store = make_run(tmp_path / str(filters), metric("em", filters))
        results(store, a=(both, 10), b=(both, 10))
        assert [total.metrics for total in group_totals(store)] == ([pytest.approx(expected)] if expected else [])


def test_a_group_that_is_not_finished_has_no_number(tmp_path: Path) -> None:
    store = make_run(tmp_path / "run", metric("acc"))
    results(store, a=({"acc": 0.5}, 10))
    assert group_totals(store) == []


def test_a_group_is_compared_over_the_items_or_the_tasks_that_it_counts() -> None:
    values = {("base", "a"): {"acc": {"0": 1.0, "1": 0.0}}, ("base", "b"): {"acc": {"0": 1.0}}}
    group = {"tasks": ["a", "b"], "metrics": [metric("acc")]}
    found = group_values({"g": group}, values)
    assert found == {("base", "g"): {"acc": {"a 0": 1.0, "a 1": 0.0, "b 0": 1.0}}}
    group = {"tasks": ["a", "b"], "metrics": [metric("acc", weighted=False)]}
    assert group_values({"g": group}, values) == {("base", "g"): {"acc": {"a": 0.5, "b": 1.0}}}
    assert group_values({"g": {**group, "tasks": ["a", "b", "c"]}}, values) == {}


def test_eval_shows_the_groups_number(river: Path, tiny: BaseModel, tmp_path: Path, invoke: Any) -> None:
    (river / "bank.yaml").write_text("group: bank\ntask: [water]\naggregate_metric_list: [{metric: acc}]\n")
    options = ("eval", "--base", tiny.path, "--tasks", "bank", "--limit", 2, "-o", tmp_path / "run")
    assert "bank (2 tasks)" in invoke(*options).stdout
    assert json.loads(invoke(*options, "--json").stdout)["groups"][0]["group"] == "bank"
