"""The pack is whole, passes every gate, and its tasks run with LAPD and with a stock lm_eval."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest

from lapd import Settings, evaluate_arms, get_persona, make_arms, resolve_base
from lapd.names import find_pack
from lapd.testing import assert_pack, make_tiny_base

PACK = find_pack("bigfive")
PACKAGE = Path(__file__).resolve().parent.parent
TASKS = PACKAGE / "lapd_bigfive" / "tasks"
AXES = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
DOCUMENTS = {
    "bigfive": 350,
    "bigfive_text": 300,
    "bigfive_situations": 75,
    "bigfive_situations_open": 75,
    "bigfive_persona_holds": 600,
}
NAMES = re.compile(
    r"openness|conscientious|extraver|introver|agreeabl|neurotic|big five|personalit|trait", re.IGNORECASE
)


def run(tool: str, *args: object) -> str:
    """What a console script of this environment prints."""
    command = [str(Path(sys.executable).with_name(tool)), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_axis_has_its_situations_and_items() -> None:
    for split, number in (("train", 40), ("heldout", 15)):
        assert Counter(situation.axis for situation in PACK.situations(split)) == dict.fromkeys(AXES, number)
    items = json.loads(PACK.questionnaire().read_text(encoding="utf-8"))["items"]
    assert Counter(item["axis"] for item in items) == dict.fromkeys(AXES, 10)
    assert all(tuple(item["statements"]) == PACK.ends[item["axis"]] for item in items)


def test_it_is_installed_and_its_poles_are_personas() -> None:
    assert get_persona("Neurotic").poles == {"neuroticism": "neurotic"}
    (pack,) = [pack for pack in json.loads(run("lapd", "traits", "--json")) if pack["name"] == "bigfive"]
    assert sorted(pack["tasks"]) == sorted(DOCUMENTS)


def test_it_passes_every_gate_and_its_tasks_work() -> None:
    """Among the gates: classifiers that see the surface alone name the pole of at most 60 % of the held-out texts."""
    assert_pack(PACK.folder)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_poles_of_each_axis_are_equally_long(split: str) -> None:
    for axis, ends in PACK.ends.items():
        situations = [situation for situation in PACK.situations(split) if situation.axis == axis]
        first, second = (sum(len(situation.responses[end].split()) for situation in situations) for end in ends)
        assert abs(first / second - 1) <= 0.05, axis


def test_no_text_names_a_trait() -> None:
    texts = [text for split in ("train", "heldout") for s in PACK.situations(split) for text in s.responses.values()]
    items = json.loads(PACK.questionnaire().read_text(encoding="utf-8"))["items"]
    texts += [text for item in items for text in item["statements"].values()]
    assert [text for text in texts if NAMES.search(text)] == []


def test_the_yaml_for_a_stock_lm_eval_is_what_follows_from_the_pack(tmp_path: Path) -> None:
    run("lapd", "traits", "tasks", "bigfive", "-o", tmp_path)
    made, shipped = (
        # What only LAPD reads comes last, and may change with it.
        {path.name: path.read_text(encoding="utf-8").partition("\n  lapd:")[0] for path in folder.glob("*.yaml")}
        for folder in (tmp_path, TASKS)
    )
    assert made == shipped, "write them anew: lapd traits tasks lapd_bigfive/traits -o lapd_bigfive/tasks"


def test_a_stock_lm_eval_loads_the_tasks() -> None:
    from lm_eval.tasks import TaskManager

    loaded = TaskManager(include_path=str(TASKS), include_defaults=False).load(list(DOCUMENTS))["tasks"]
    assert {name: len(task.eval_docs) for name, task in loaded.items()} == DOCUMENTS


def test_lapd_and_a_stock_lm_eval_give_the_same_scores(tmp_path: Path) -> None:
    base, names = str(make_tiny_base(tmp_path / "base")), ["bigfive", "bigfive_situations"]
    evaluate_arms(resolve_base(base), make_arms([], ["base"]), names, tmp_path / "run", Settings(limit=7), quiet=True)
    ours: dict[str, float] = {}
    for path in (tmp_path / "run" / "cells").glob("*/result.json"):
        ours |= json.loads(path.read_text(encoding="utf-8"))["metrics"]
    theirs = stock_scores(base, names)
    assert {"likelihood_openness", "log_odds_neuroticism"} < set(ours) <= set(theirs)
    for metric, value in ours.items():
        assert theirs[metric] == pytest.approx(value, abs=1e-3, nan_ok=True), metric


def stock_scores(base: str, names: list[str]) -> dict[str, float]:
    """Each metric as lm-eval itself computes it."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lm-eval's and its libraries' own
        done = simple_evaluate(
            model="hf",
            model_args={"pretrained": base, "dtype": "float32", "device": "cpu"},
            tasks=names,
            # The command line hands the model's arguments to the tasks, which count tokens by them.
            task_manager=TaskManager(include_path=str(TASKS), include_defaults=False, metadata={"pretrained": base}),
            limit=7,
            apply_chat_template=True,
        )
    found = [pair for scores in done["results"].values() for pair in scores.items()]
    return {name.removesuffix(",none"): value for name, value in found if name.endswith(",none")}
