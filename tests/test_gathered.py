"""A plugin's tasks beside LAPD's own: whose they are, and one folder in which a stock lm-eval finds all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lapd.tasks import FOLDER

PLUGIN = """
from pathlib import Path

from lapd import hookimpl
from lapd.hookspecs import TaskFolder


@hookimpl
def lapd_register_tasks(register):
    register(TaskFolder("polite", Path(__file__).parent / "polite_tasks"))
"""

TASK = """
task: NAME
custom_dataset: !function utils.documents
test_split: test
output_type: generate_until
doc_to_text: "{{q}}"
doc_to_target: ""
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0}
"""


@pytest.fixture
def site(make_distribution: Callable[..., Path]) -> Path:
    """Where a plugin is installed that brings the tasks `thanks` and, one folder deeper, `please`."""
    site = make_distribution("lapd_polite", PLUGIN)
    for place, name in (("polite_tasks", "thanks"), ("polite_tasks/more", "please")):
        (site / place).mkdir()
        (site / place / f"{name}.yaml").write_text(TASK.replace("NAME", name))
        (site / place / "utils.py").write_text("def documents(**_):\n    return {}\n")
    return site


def test_a_third_partys_data_are_not_called_shipped(lapd: Callable[..., Any], site: Path) -> None:
    env = {"PYTHONPATH": str(site)}
    listed = {line.split()[0]: line for line in lapd("tasks", env=env).stdout.splitlines() if line}
    assert "with lapd_polite" in listed["thanks"] and "with lapd_polite" in listed["please"]
    assert "shipped" in listed["situations"] and "lapd_polite" not in listed["situations"]
    tasks = {row["task"]: row["from"] for row in json.loads(lapd("tasks", "--json", env=env).stdout)}
    assert (tasks["please"], tasks["situations"]) == ("lapd_polite", "lapd")


def test_one_path_has_everybodys_tasks_for_a_stock_lm_eval(
    lapd: Callable[..., Any], site: Path, tmp_path: Path
) -> None:
    from lm_eval.tasks import TaskManager

    env = {"PYTHONPATH": str(site), "LAPD_CACHE": str(tmp_path / "cache")}
    done = lapd("tasks", "--path", env=env)
    path = done.stdout.removesuffix("\n")
    assert "\n" not in path
    assert str(site / "polite_tasks") in done.stderr and str(FOLDER) in done.stderr
    index = TaskManager(include_path=path, include_defaults=False).task_index
    assert {"thanks", "please", "situations", "mbti"} <= index.keys()
    loaded = json.loads(lapd("tasks", "--json", env=env).stdout)
    known = {name for name, entry in index.items() if entry.kind.name.endswith("TASK")}
    assert {row["task"] for row in loaded} == known
    # The code that a task names is found beside the file that is linked to.
    from lm_eval.tasks._yaml_loader import load_yaml

    assert load_yaml(index["please"].yaml_path)["custom_dataset"]() == {}
    assert lapd("tasks", "--path", env=env).stdout == done.stdout
    found = json.loads(lapd("tasks", "--path", "--json", env=env).stdout)
    assert found == {"include_path": path, "folders": {"lapd": str(FOLDER), "polite": str(site / "polite_tasks")}}


def test_without_other_plugins_it_is_the_folder_of_lapds_own(lapd: Callable[..., Any]) -> None:
    done = lapd("tasks", "--path", env={"LAPD_LOAD_PLUGINS": "tasks,traits"})
    assert (done.stdout, done.stderr) == (f"{FOLDER}\n", "")
