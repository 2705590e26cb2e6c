"""The whole path, from a YAML file to a report, and a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from lapd.testing import make_tiny_base

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, warm_lapd: Callable[..., Any]) -> Path:
    """The shipped quickstart, with a tiny base, fewer pairs and fewer documents, run once."""
    folder = tmp_path_factory.mktemp("experiment")
    config = yaml.safe_load((ROOT / "examples/quickstart.yaml").read_text())
    config["base"] = str(make_tiny_base(folder / "base"))
    config["train"] |= {"pairs": 8, "epochs": 1, "eval_pairs": 2}
    config["evaluate"] |= {"limit": 2}
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    result = warm_lapd("run", "small.yaml", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "INFP against base" in result.stdout
    assert "report.html" in result.stdout
    return folder


def snapshot(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file's size and time."""
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_second_run_changes_no_file(experiment: Path, warm_lapd: Callable[..., Any]) -> None:
    before = snapshot(experiment)
    result = warm_lapd("run", "small.yaml", cwd=experiment)
    assert result.returncode == 0, result.stderr
    assert "20 cells, 20 of them done" in result.stderr
    assert snapshot(experiment) == before


def test_compare_gives_rows_with_the_documented_keys(experiment: Path, warm_lapd: Callable[..., Any]) -> None:
    result = warm_lapd("compare", experiment / "runs/quickstart", "--json")
    rows = json.loads(result.stdout)
    wanted = {"task", "metric", "arm", "baseline", "n", "difference", "low", "high", "p", "family", "verdict"}
    wanted |= {"detectable", "scope"}
    assert all(wanted <= row.keys() for row in rows)
    assert {(r["arm"], r["baseline"]) for r in rows} == {
        ("INFP", "base"),
        ("base+prompt(INFP)", "base"),
        ("INFP", "shuffled-INFP"),
        ("shuffled-INFP", "base"),
    }
    asked = {"situations", "pressure", "knowledge_mini", "socialiqa_mini", "situations_open"}
    assert {r["task"] for r in rows} == asked
    for row in rows:
        assert row["low"] is None or row["low"] - 1e-9 <= row["difference"] <= row["high"] + 1e-9
        assert row["p"] <= (row["q"] if row["p_holm"] is None else row["p_holm"]) <= 1


def test_the_report_stands_alone(experiment: Path) -> None:
    page = (experiment / "runs/quickstart/report.html").read_text()
    assert "INFP" in page and "<svg" in page
    assert "http-equiv" in page
    assert 'src="http' not in page


def test_a_wrong_key_is_named_before_any_work(experiment: Path, warm_lapd: Callable[..., Any]) -> None:
    config = yaml.safe_load((experiment / "small.yaml").read_text())
    config["train"]["learnrate"] = 1
    config["out"] = "runs/never"
    (experiment / "wrong.yaml").write_text(yaml.safe_dump(config))
    result = warm_lapd("run", "wrong.yaml", cwd=experiment)
    assert result.returncode == 1
    assert "learnrate" in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (experiment / "runs/never").exists()


def test_chat_answers_and_switches_who_does(experiment: Path, warm_lapd: Callable[..., Any]) -> None:
    adapter = experiment / "runs/quickstart/adapters/INFP"
    talk = "Hello!\n/base\nHello!\n/prompt\n/persona\n/nonsense\n/clear\nAnd you?\n/quit\n"
    result = warm_lapd("chat", adapter, "--max-tokens", 8, "--temperature", 0, said=talk)
    assert result.returncode == 0, result.stderr
    assert [line.partition(":")[0] for line in result.stdout.splitlines() if ": " in line] == [
        "INFP", str(experiment / "base"), "INFP",
    ]  # fmt: skip
    assert "base answers." in result.stderr and "System prompt on." in result.stderr
    assert "/base: the base model answers" in result.stderr
