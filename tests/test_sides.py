"""On which side a task stands and what sums it up: read, refused, shown, and chosen in comparisons and cards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from odd_tasks import CHOICE, register, write_tasks

from lapd.adapters.adapter import Adapter
from lapd.catalog.check import BROKEN, OK, check_tasks
from lapd.catalog.find import tasks
from lapd.catalog.groups import find_tasks
from lapd.catalog.task import GRADE, SIDES, TaskInfo
from lapd.compare.comparisons import Comparison, compare_run
from lapd.errors import UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.evaluate.sides import Means, chosen_tasks
from lapd.files.whole import write_json, write_jsonl
from lapd.hookspecs import TaskFolder
from lapd.models.base import BaseModel
from lapd.record.cells import Settings
from lapd.record.store import Store
from lapd.report.cards import primary
from lapd.testing.tiny import make_tiny_base
from lapd.traits.pack import read_pack
from lapd.traits.tasks import pack_tasks

ODD = CHOICE.replace("lapd: {item: id}", "lapd: {item: id, SAID}").replace(
    "metric_list: [", "metric_list: [{metric: acc_norm, aggregation: mean, higher_is_better: true}, "
)

Evaluate = Callable[..., Store]


def test_every_task_that_ships_says_its_side_and_what_sums_it_up() -> None:
    shipped = {name: info for name, info in tasks().items() if info.include_path == ROOT / "tasks"}
    assert {info.side for info in shipped.values()} <= set(SIDES)
    for name, info in shipped.items():
        assert info.primary in {*info.metrics, *info.axes, *([GRADE] if info.graded else [])}, name
        assert info.primary not in info.diagnostics, name
    assert {shipped[name].side for name in ("mbti", "mbti_text_b", "situations", "situations_open", "own_pairs")} == {
        "trait"
    }
    cost = ("socialiqa", "socialiqa_mini_gen", "eqbench", "eqbench_revised", "beavertails", "overrefusal")
    assert {shipped[name].side for name in cost} == {"cost"}
    assert shipped["situations"].primary == "log_odds"


def test_the_tasks_of_a_pack_and_of_the_template_say_so_too() -> None:
    for config in pack_tasks(read_pack(ROOT / "examples/lapd-bigfive/lapd_bigfive/traits")).values():
        own = config["metadata"]["lapd"]
        metrics = {metric["metric"] for metric in config["metric_list"]}
        assert own["side"] == "trait" and own["primary"] in {
            *metrics,
            *own.get("axes", {}),
            *([GRADE] if own.get("graded") else []),
        }
    text = next((ROOT / "data/templates/plugin").rglob("*.yaml")).read_text(encoding="utf-8")
    own = yaml.safe_load(text.replace("!function ", ""))["metadata"]["lapd"]
    assert (own["side"], own["primary"]) == ("trait", "log_odds")


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("side: costs", "its side is 'costs', which is none of trait, cost, check"),
        (
            "side: cost, primary: accuracy",
            "its primary is 'accuracy', which is neither in its metric_list",
        ),
        ("side: check, primary: acc_norm", ""),
        ("axes: {odds: {E/I: acc}}, side: trait, primary: odds", ""),
        ("publisher: nowhere, side: Cost", "its side is 'Cost'"),
    ],
)
def test_a_side_or_primary_that_cannot_be_is_refused(tmp_path: Path, said: str, wrong: str) -> None:
    write_tasks(tmp_path / "tasks", odd=ODD.replace("SAID", said))
    (finding,) = check_tasks(make_tiny_base(tmp_path / "base"), None, [TaskFolder("odd", tmp_path / "tasks")])
    assert finding.state == (BROKEN if wrong else OK)
    assert wrong in finding.detail


def test_tasks_are_listed_with_them(invoke: Callable[..., Any]) -> None:
    rows = {row["task"]: row for row in json.loads(invoke("tasks", "--json").stdout)}
    assert (rows["situations"]["side"], rows["situations"]["primary"]) == ("trait", "log_odds")
    lines = {line.split()[0]: line.split() for line in invoke("tasks").stdout.splitlines() if line}
    assert lines["task"][1:3] == ["side", "primary"]
    assert lines["overrefusal"][1:3] == ["cost", "refused_harmless"]


@pytest.mark.parametrize(
    ("info", "metrics", "main"),
    [
        ({}, ["acc", "acc_norm"], "acc_norm"),
        ({}, ["f1", "acc"], "acc"),
        ({}, ["exact_match,strict", "exact_match,flexible"], "exact_match"),
        ({}, ["f1", "bleu"], "f1"),
        ({}, [], None),
        ({"diagnostics": ("missing",)}, ["missing", "flagged"], "flagged"),
        ({"axes": {"odds": {"E/I": "odds_EI"}}}, ["odds_EI"], "odds"),
        ({"primary": "f1"}, ["acc", "f1"], "f1"),
    ],
)
def test_what_sums_a_task_up_that_does_not_say(info: dict[str, Any], metrics: list[str], main: str | None) -> None:
    assert TaskInfo("x", Path(), None, "", **info).main(metrics) == main


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    """`evaluate(info, persona, base=[...], INFP=[...], version="")`: a run with these metrics of eight items each."""
    store = Store(tmp_path / "run")
    model = BaseModel("fake", tmp_path, "b" * 64, "someone/fake")

    def run(
        info: TaskInfo, persona: str | None = "INFP", version: str = "", **metrics: list[dict[str, float]]
    ) -> Store:
        card = {"persona": persona, "control": None} if persona else None
        subject = Adapter("INFP", tmp_path, "a" * 64, card)
        cells = make_cells(model, make_arms([subject], ["base", "adapter"]), [info], Settings())
        store.enter(cells)
        for cell in cells:
            folder = store.cell_folder(cell.name)
            rows = [{"item": f"i{n}", "metrics": each} for n, each in enumerate(metrics[cell.arm.name])]
            write_jsonl(folder / "samples.jsonl", rows)
            record = {"schema": "lapd.result/1", "cell": cell.identity(), "arm": cell.arm.name, "metrics": {}}
            write_json(folder / "result.json", record | {"task_version": version})
        return store

    return run


def chosen(rows: list[Comparison]) -> list[tuple[str, str]]:
    return [(row.metric, row.side) for row in rows if row.primary]


def test_a_comparison_names_the_row_that_sums_the_task_up(evaluate: Evaluate) -> None:
    def values(add: float) -> list[dict[str, float]]:
        return [{"prefer_EI": 50.0 + n, "log_odds_EI": n % 3 + add} for n in range(8)]

    rows = compare_run(evaluate(tasks()["situations"], base=values(0), INFP=values(-1)).folder)
    assert chosen(rows) == [("log_odds_towards", "trait")]
    assert {row.side for row in rows} == {"trait"}
    assert [row.metric for row in primary(rows)] == ["log_odds_towards"]


def test_without_a_persona_each_axis_sums_it_up(evaluate: Evaluate) -> None:
    def values(add: float) -> list[dict[str, float]]:
        return [{"prefer_EI": 50.0, "log_odds_EI": n % 3 + add, "log_odds_TF": add + n % 2} for n in range(8)]

    rows = compare_run(evaluate(tasks()["situations"], None, base=values(0), INFP=values(1)).folder)
    assert chosen(rows) == [("log_odds_EI", "trait"), ("log_odds_TF", "trait")]
    assert [row.metric for row in primary(rows)] == ["log_odds_EI", "log_odds_TF"]


def test_a_task_of_lm_evals_own_is_on_the_side_of_cost(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def values(add: float) -> list[dict[str, float]]:
        return [{"acc": float(n % 2), "acc_norm": float((n + add) % 3 > 0)} for n in range(8)]

    info = TaskInfo("arc_small", tmp_path, None, "lm-eval 0.4.13", kind="multiple_choice")
    store = evaluate(info, version="lm-eval 0.4.13", base=values(0), INFP=values(1))
    assert chosen(compare_run(store.folder)) == [("acc_norm", "cost")]


def test_a_plugins_task_that_says_nothing_is_on_no_side(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, write_tasks(tmp_path / "tasks", odd=ODD.replace(", SAID", "")))
    values = [{"acc": float(n % 2), "acc_norm": 1.0} for n in range(8)]
    store = evaluate(tasks()["odd"], base=values, INFP=values)
    assert chosen(compare_run(store.folder)) == [("acc_norm", "")]


def test_of_several_filters_the_first_sums_it_up(evaluate: Evaluate, tmp_path: Path) -> None:
    values = [{"exact_match,strict": float(n % 2), "exact_match,flexible": 1.0} for n in range(8)]
    info = TaskInfo("sums", tmp_path, None, "lm-eval 0.4.13", filters=("strict", "flexible"))
    store = evaluate(info, version="lm-eval 0.4.13", base=values, INFP=values)
    assert chosen(compare_run(store.folder)) == [("exact_match,strict", "cost")]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data of publishers and no judge, wherever these tests run."""
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    for name in ("LAPD_DATA_DIR", "LAPD_JUDGE", "LAPD_JUDGE_OPTIONS"):
        monkeypatch.delenv(name, raising=False)


def names(found: list[TaskInfo]) -> set[str]:
    return {info.name for info in found}


@pytest.mark.usefixtures("bare")
def test_a_side_stands_for_its_tasks_that_can_run_here(capsys: pytest.CaptureFixture[str]) -> None:
    found = chosen_tasks(["cost", "trait"], Means(Settings()))
    assert names(found) >= {"knowledge_mini", "socialiqa_mini", "overrefusal", "situations", "mbti", "mbti_text"}
    assert not names(found) & {"socialiqa", "eqbench", "beavertails", "own_pairs"}
    lines = {line.split()[0]: line for line in capsys.readouterr().err.splitlines()}
    assert set(lines) == {"socialiqa", "socialiqa_gen", "eqbench", "eqbench_revised", "beavertails", "own_pairs"}
    assert lines["socialiqa"] == (
        "socialiqa is left out: its data are not here: `lapd data fetch socialiqa --data-dir DIR`."
    )
    assert lines["beavertails"] == "beavertails is left out: it needs a judge: name one with --judge."
    assert "--pairs FILE" in lines["own_pairs"]
    (group,) = found[0].groups
    assert (group.name, set(group.tasks)) == ("cost", {info.name for info in found if info.side == "cost"})
    chosen_tasks(["cost"], Means(Settings()), quiet=True)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("bare")
def test_with_data_a_judge_and_pairs_more_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "beavertails").mkdir(parents=True)
    (tmp_path / "data" / "beavertails" / "evaluation_700.jsonl").touch()
    (tmp_path / "cache" / "data" / "socialiqa").mkdir(parents=True)
    for name in ("dev.jsonl", "dev-labels.lst"):
        (tmp_path / "cache" / "data" / "socialiqa" / name).touch()
    (tmp_path / "pairs.jsonl").touch()
    settings = Settings(data_dir=str(tmp_path / "data"), pairs=str(tmp_path / "pairs.jsonl"))
    with_all = chosen_tasks(["trait", "cost"], Means(settings, judge=True), quiet=True)
    assert names(with_all) >= {"beavertails", "own_pairs"} and "socialiqa" not in names(with_all)
    assert names(chosen_tasks(["cost"], Means(Settings()), quiet=True)) >= {"socialiqa", "socialiqa_gen"}
    assert "beavertails" not in names(chosen_tasks(["cost"], Means(settings), quiet=True))
    monkeypatch.setenv("LAPD_JUDGE", "keywords")
    assert "beavertails" in names(chosen_tasks(["cost"], Means(settings), quiet=True))


@pytest.mark.usefixtures("bare")
def test_behind_an_endpoint_a_side_is_what_is_answered_in_writing() -> None:
    found = chosen_tasks(["cost", "trait"], Means(Settings(), written=True), quiet=True)
    assert {info.kind for info in found} == {"generate_until"}
    assert names(found) >= {"overrefusal", "mbti_text", "socialiqa_mini_gen"}


@pytest.mark.usefixtures("bare")
def test_a_task_that_is_named_itself_is_never_left_out_and_comes_once() -> None:
    found = chosen_tasks(["eqbench", "cost", "knowledge_mini"], Means(Settings()), quiet=True)
    assert [info.name for info in found][:2] == ["eqbench", "knowledge_mini"]
    assert len(names(found)) == len(found)


@pytest.mark.usefixtures("bare")
def test_a_plugins_task_is_of_its_side_unless_its_data_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml = ODD.replace("SAID", "side: check, primary: acc")
    register(monkeypatch, write_tasks(tmp_path / "tasks", one=yaml, two=yaml.replace("utils.sums", "utils.nowhere")))
    assert [info.name for info in chosen_tasks(["check"], Means(Settings()))] == ["one"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("two is left out: ") and "cannot be loaded" in line


def test_a_side_without_a_task_is_an_error_of_usage() -> None:
    with pytest.raises(UsageError, match="No task of the side check can run here"):
        chosen_tasks(["check"], Means(Settings()))


@pytest.mark.usefixtures("bare")
def test_a_side_takes_a_limit_and_a_file_names_it(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    base = make_tiny_base(tmp_path / "base")
    done = invoke(
        "eval", "--tasks", "cost", "--base", base, "--arms", "base", "--limit", "cost=3", "--plan", "--json",
        "-o", tmp_path / "run",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "beavertails is left out" in done.stderr
    asked = [cell["task"] for cell in json.loads(done.stdout)["cells"]]
    assert "knowledge_mini" in asked and len(asked) == len(set(asked))
    text = "name: x\nout: OUT\npersonas: [INFP]\nbase: BASE\nevaluate: {tasks: [cost], limits: {cost: 3}}\n"
    (tmp_path / "x.yaml").write_text(text.replace("OUT", str(tmp_path / "out")).replace("BASE", str(base)))
    done = invoke("run", tmp_path / "x.yaml", "--plan")
    assert done.exit_code == 0, done.stderr
    assert "knowledge_mini" in done.stdout


@pytest.mark.parametrize("side", ["trait", "cost"])
def test_a_stock_lm_eval_takes_the_bundle_of_a_side(side: str) -> None:
    from lm_eval.tasks import TaskManager

    members = yaml.safe_load((ROOT / "tasks" / f"lapd_{side}.yaml").read_text(encoding="utf-8"))["task"]
    manager = TaskManager(include_path=str(ROOT / "tasks"), include_defaults=False)
    assert set(manager.load([f"lapd_{side}"])["tasks"]) == set(members)
    found = find_tasks([f"lapd_{side}"])
    assert [info.name for info in found] == members
    assert {info.side for info in found} == {side}
    assert not [info.name for info in found if info.publisher or info.judged or info.pairs]
