"""What `lapd eval` ends with, and how many documents each task is given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from lapd.catalog.find import find_task
from lapd.errors import UsageError
from lapd.evaluate.plan import make_arms, make_cells
from lapd.models.base import BaseModel
from lapd.record.cells import Settings
from lapd.testing import make_tiny_adapter, make_tiny_base

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base, an adapter and its control."""
    folder = tmp_path_factory.mktemp("ending")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(folder / "cache"))
        base = make_tiny_base(folder / "base")
        make_tiny_adapter(base, folder / "out/INFP")
        make_tiny_adapter(base, folder / "out/shuffled-INFP", control="shuffled")
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(place / "cache"))
    monkeypatch.chdir(place)


def evaluate(invoke: Invoke, run: Path, *more: str) -> Result:
    result = invoke("eval", "--tasks", "situations", "--limit", "8", "-o", run, *more)
    assert result.exit_code == 0, result.stderr
    return result


def test_it_is_the_comparison(invoke: Invoke, tmp_path: Path) -> None:
    run = tmp_path / "run"
    both = ("--adapter", "out/INFP", "--adapter", "out/shuffled-INFP", "--arms", "base,adapter")
    result = evaluate(invoke, run, *both)
    assert result.stdout == invoke("compare", run).stdout
    assert result.stdout.startswith("INFP against base, counted towards INFP\n")
    lines = [line for line in result.stderr.splitlines() if line.startswith("Next: ")]
    assert lines == [f"Next: lapd report {run}"]


def test_a_control_alone_is_to_be_evaluated_beside_its_persona(invoke: Invoke, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = evaluate(invoke, run, "--adapter", "out/shuffled-INFP", "--arms", "base,adapter")
    what = "Next: shuffled-INFP is a control: evaluate it beside the adapter of INFP, by this command with"
    assert f"{what} --adapter out/INFP -o {run}\n" in result.stderr
    again = evaluate(invoke, run, "--adapter", "out/INFP", "--adapter", "out/shuffled-INFP", "--arms", "base,adapter")
    assert "is a control" not in again.stderr
    assert "INFP against shuffled-INFP" in again.stdout


def test_a_persona_alone_is_to_be_told_from_any_training(invoke: Invoke, tmp_path: Path) -> None:
    result = evaluate(invoke, tmp_path / "run", "--adapter", "out/INFP", "--arms", "base,adapter")
    assert "Next: `lapd train` as before with --control shuffled, to tell INFP from any training\n" in result.stderr


def test_with_nothing_to_compare_it_is_every_metric(invoke: Invoke, tmp_path: Path) -> None:
    result = evaluate(invoke, tmp_path / "run", "--base", "base")
    assert result.stdout.splitlines()[0].split() == ["task", "arm", "metric", "value"]
    assert "the only arm is base. Evaluate an adapter or a prompt beside it" in result.stderr
    assert "Next:" not in result.stderr


def test_json_has_every_cell_and_metric(invoke: Invoke, tmp_path: Path) -> None:
    result = evaluate(invoke, tmp_path / "run", "--adapter", "out/INFP", "--arms", "base,adapter", "--json")
    found = json.loads(result.stdout)
    assert found["run"] == str(tmp_path / "run")
    assert [cell["arm"] for cell in found["results"]] == ["base", "INFP"]
    assert all("log_odds_EI" in cell["metrics"] for cell in found["results"])


def test_tasks_have_limits_of_their_own(base: BaseModel) -> None:
    infos = [find_task(name) for name in ("mbti", "situations", "socialiqa_mini")]
    settings = Settings(limit=20, limits={"mbti": 8, "situations": 30})
    cells = make_cells(base, make_arms([]), infos, settings)
    assert [cell.identity()["limit"] for cell in cells] == [8, 30, 20]
    alone = make_cells(base, make_arms([]), infos[:1], Settings(limit=8))
    assert cells[0].name == alone[0].name  # the limit counts, not how it was given
    (unlimited,) = make_cells(base, make_arms([]), infos[2:], Settings(limits={}))
    assert unlimited.identity()["limit"] is None


def test_a_limit_of_a_task_that_is_not_evaluated_is_refused(base: BaseModel) -> None:
    with pytest.raises(UsageError, match=r"limit for mbti, which is none of the tasks\. These are evaluated: situat"):
        make_cells(base, make_arms([]), [find_task("situations")], Settings(limits={"mbti": 8}))
    for limits in ({"mbti": 0}, {"mbti": "many"}):
        with pytest.raises(UsageError, match="limit must be at least 1"):
            Settings(limits=limits)  # type: ignore[arg-type]


def test_limits_are_given_beside_each_other(invoke: Invoke, tmp_path: Path) -> None:
    asked = ["eval", "--base", "base", "--tasks", "situations,socialiqa_mini", "-o", tmp_path / "run", "--json"]
    assert invoke(*asked, "--limit", "3", "--limit", "situations=5").exit_code == 0
    made = [json.loads(path.read_text()) for path in (tmp_path / "run/cells").glob("*/result.json")]
    assert {record["cell"]["task"]: record["n_documents"] for record in made} == {"situations": 5, "socialiqa_mini": 3}


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (["x"], "'x' is neither a number from 1 on, nor TASK=NUMBER"),
        (["situations=0"], "'situations=0' is neither"),
        (["=5"], "'=5' is neither"),
        (["situations=-3"], "neither a number"),
        (["5", "6"], "'6' comes after another number for every task"),
        (["situations=5", "situations=6"], "'situations=6' comes after another number for situations"),
        (["mbti=5"], "limit for mbti, which is none of the tasks"),
    ],
)
def test_a_limit_that_is_none_is_refused(invoke: Invoke, tmp_path: Path, limits: list[str], why: str) -> None:
    words = [word for limit in limits for word in ("--limit", limit)]
    result = invoke("eval", "--base", "base", "--tasks", "situations", "-o", tmp_path / "run", *words)
    assert result.exit_code == 2 and why in result.stderr
    assert not (tmp_path / "run").exists()
