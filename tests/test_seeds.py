"""Training seeds as replicates: names, experiments, plans, and which arms of a run belong together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from lapd.adapters.replicates import COUNTED, OF_STOPPING, replicate_groups, training_of
from lapd.errors import LapdError
from lapd.experiment.file import read_experiment
from lapd.testing.tiny import make_tiny_base
from lapd.train.config import TrainConfig

# On the command line


def test_each_seed_gives_an_adapter_and_each_control_a_draw_of_its_own(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    base, out = make_tiny_base(tmp_path / "base"), tmp_path / "out"
    small = ("--base", base, "--pairs", 4, "--batch-size", 2, "--epochs", 1, "--eval-pairs", 0, "--max-length", 1024)
    done = invoke("train", "INFP", "--seeds", "0,2", *small, "-o", out, "--json")
    assert done.exit_code == 0, done.output
    found = [(Path(record["adapter"]), record["run_card"]) for record in json.loads(done.stdout)]
    assert [(path.name, card["settings"]["seed"]) for path, card in found] == [("INFP.0", 0), ("INFP.2", 2)]
    weights = [(path / "adapter_model.safetensors").read_bytes() for path, _ in found]
    assert weights[0] != weights[1]
    assert len({training_of(card)["adapter_recipe"] for _, card in found}) == 1
    plan = ("train", "INFP", "ESTJ", "--seeds", "0,2", *small, "-o", out, "--plan", "--json")
    shown = json.loads(invoke(*plan).stdout)
    assert [(t["adapter"], t["seed"], t["done"]) for t in shown["trainings"]] == [
        *(("INFP.0", 0, True), ("INFP.2", 2, True), ("ESTJ.0", 0, False), ("ESTJ.2", 2, False)),
    ]
    assert shown["seconds_left"] is not None
    controls = json.loads(invoke(*plan, "--control", "shuffled").stdout)["trainings"]
    assert [(t["adapter"], t["control"], t["seed"]) for t in controls][:2] == [
        *(("shuffled-INFP.0", "shuffled", 0), ("shuffled-INFP.2", "shuffled-2", 2)),
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--seeds", "0,1", "--seed", "3"), "--seed and --seeds both say"),
        (("--seeds", "0,1,1"), "the seed 1 is there twice"),
        (("--seeds", ""), "'' is no seed"),
        (("--seeds", "0,,1"), "'' is no seed"),
        (("--seeds=-1,0",), "'-1' is no seed"),
        (("--seeds", "0,1.5"), "'1.5' is no seed"),
        (("--seeds", "4294967296"), "4294967296 is no seed"),
        (("--seeds", "0,1", "--control", "shuffled-1"), "each shuffled control has the draw of its seed"),
    ],
)
def test_seeds_that_are_none_are_refused_in_a_line(
    invoke: Callable[..., Result], args: tuple[str, ...], message: str
) -> None:
    refused = invoke("train", "INFP", *args)
    assert refused.exit_code == 2
    assert message in refused.stderr and "Traceback" not in refused.stderr


# In an experiment's file


def experiment(folder: Path, **changes: Any) -> Path:
    content = {
        "name": "test",
        "base": str(folder / "base"),
        "out": str(folder / "run"),
        "personas": ["INFP", "ESTJ"],
        "train": {"pairs": 4, "trainer": "trl"},
        "evaluate": {"tasks": ["situations"], "arms": ["base", "adapter"]},
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(content | changes))
    return folder / "experiment.yaml"


def test_an_experiment_trains_a_persona_its_opposite_and_controls_once_a_seed(tmp_path: Path) -> None:
    path = experiment(tmp_path, seeds=[0, 1], controls={"shuffled": ["estj"]})
    _, trains, _ = read_experiment(path)
    assert [(t.name, t.control, t.seed) for t in trains] == [
        *(("INFP.0", None, 0), ("INFP.1", None, 1), ("ESTJ.0", None, 0), ("ESTJ.1", None, 1)),
        *(("shuffled-ESTJ.0", "shuffled", 0), ("shuffled-ESTJ.1", "shuffled-1", 1)),
    ]


def test_a_plan_says_what_another_seed_costs_and_gives_strengths_to_those_that_have_some(
    invoke: Callable[..., Result], base_folder: Path, tmp_path: Path
) -> None:
    evaluate = {"tasks": ["situations"], "arms": ["base", "adapter"], "strengths_of": {"infp": [0.5, 1]}}
    more: dict[str, Any] = {"seeds": [0, 1], "controls": {"shuffled": ["ESTJ"]}, "evaluate": evaluate}
    path = experiment(tmp_path, base=str(base_folder), **more)
    plan = json.loads(invoke("run", path, "--plan", "--json").stdout)
    assert [t["seed"] for t in plan["trainings"]] == [0, 1] * 3
    assert [cell["arm"] for cell in plan["cells"]] == [
        *("base", "INFP.0@0.5", "INFP.0", "INFP.1@0.5", "INFP.1", "ESTJ.0", "ESTJ.1"),
        *("shuffled-ESTJ.0", "shuffled-ESTJ.1"),
    ]
    assert plan["another_seed"] == {"trainings": 3, "cells": 4, "seconds": None}
    shown = invoke("run", path, "--plan").stdout
    assert "One more seed: 3 adapters to train, 4 cells; how long is not known." in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": []}, "seeds: there is no seed"),
        ({"seeds": [0, 0]}, "seeds: the seed 0 is there twice"),
        ({"seeds": [-1]}, "seeds: -1 is no seed"),
        ({"seeds": [0], "train": {"seed": 1}}, "said by seeds"),
        ({"seeds": [0], "controls": ["shuffled-1"]}, "each shuffled control has the draw of its seed"),
        ({"controls": {"shuffled": ["ENFP"]}}, "controls: shuffled: ENFP is none of the experiment's personas"),
        ({"controls": {"shuffled": "INFP"}}, "controls: shuffled: a list of personas"),
        ({"controls": {"random": ["INFP"]}}, "no control 'random'"),
        ({"evaluate": {"tasks": ["mbti"], "strengths_of": {"ENFP": [1]}}}, "strengths_of: ENFP: ENFP is none"),
        ({"evaluate": {"tasks": ["mbti"], "strengths_of": {"INFP": []}}}, "a list of strengths is expected"),
        ({"evaluate": {"tasks": ["mbti"], "strengths_of": {"INFP": [3]}}}, "3 is no strength"),
    ],
)
def test_seeds_controls_and_strengths_are_checked_before_any_work(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(LapdError, match=message):
        read_experiment(experiment(tmp_path, **changes))


# In a run's record


def arm(persona: str | None, seed: int | None = 0, control: str | None = None, **more: Any) -> dict[str, Any]:
    """An arm's entry in run.json, as far as replicates go by it."""
    known = {} if seed is None else {"adapter_seed": seed, "adapter_recipe": more.pop("recipe", "r")}
    adapter = {"name": "a", "strength": more.pop("strength", 1)}
    return {"adapter": adapter, "adapter_persona": persona, "adapter_control": control, "prompt": None, **known, **more}


def test_replicates_are_of_one_persona_control_strength_prompt_and_recipe() -> None:
    prompt = {"code": "INFP", "system_prompt": "You are quiet."}
    arms = {
        "base": {"adapter": None, "adapter_persona": None, "adapter_control": None, "prompt": None},
        "INFP.0": arm("INFP"),
        "INFP.1": arm("INFP", 1),
        "INFP.0@0.5": arm("INFP", strength=0.5),
        "INFP.1+prompt(INFP)": arm("INFP", 1, prompt=prompt),
        "ESTJ": arm("ESTJ"),
        "shuffled-INFP": arm("INFP", 0, "shuffled"),
        "shuffled-1-INFP": arm("INFP", 0, "shuffled-1"),
        "shuffled-INFP.2": arm("INFP", 2, "shuffled-2"),
        "opposite-INFP": arm("INFP", 0, "opposite"),
        "theirs": arm(None, None),
    }
    assert replicate_groups(arms) == {
        "INFP": ["INFP.0", "INFP.1"],
        "INFP@0.5": ["INFP.0@0.5"],
        "INFP+prompt(INFP)": ["INFP.1+prompt(INFP)"],
        "ESTJ": ["ESTJ"],
        "shuffled-INFP": ["shuffled-INFP", "shuffled-1-INFP", "shuffled-INFP.2"],
        "opposite-INFP": ["opposite-INFP"],
        "theirs": ["theirs"],
    }


def test_other_recipes_and_the_same_seed_again_are_no_replicates_and_every_label_is_one() -> None:
    arms = {
        "INFP": arm("INFP"),
        "INFP.0": arm("INFP"),
        "INFP.1": arm("INFP", 1),
        "slow": arm("INFP", 1, recipe="s"),
        "ESTJ": arm(None, None),
        "ESTJ.0": arm("ESTJ"),
        "INFP (slow)": arm(None, None),
    }
    groups = replicate_groups(arms)
    assert sorted(map(sorted, groups.values())) == [
        *(["ESTJ"], ["ESTJ.0"], ["INFP", "INFP.1"], ["INFP (slow)"], ["INFP.0"], ["slow"]),
    ]
    assert groups["INFP (INFP, INFP.1)"] == ["INFP", "INFP.1"]


def test_a_recipe_is_all_settings_but_seed_control_and_persona() -> None:
    plain = {name: field.default for name, field in TrainConfig.__dataclass_fields__.items()}
    card: dict[str, Any] = {"settings": plain | {"persona": "INFP"}}

    def recipe(**changes: Any) -> str:
        return str(training_of({"settings": card["settings"] | changes})["adapter_recipe"])

    same = {"persona": "ESTJ", "seed": 3, "control": "shuffled-3", "replicate": True, "save_steps": 7, "epochs": 2}
    assert recipe(**same) == recipe() != recipe(lr=1e-4)
    assert recipe(eval_every=3) == recipe() and recipe(stop_when="a", eval_every=3) != recipe(stop_when="a")
    before = {name: value for name, value in card["settings"].items() if name not in ("loss", "schedule", "rpo_alpha")}
    assert training_of({"settings": before})["adapter_recipe"] == recipe()
    assert training_of(None) == training_of({"settings": {"weights": [1]}}) == {}
    passed_over = {"persona", "persona_file", "base", "seed", "control", "recipe", "replicate"}
    passed_over |= {"save_steps", "gradient_checkpointing", "batch_rows"}  # the weights do not depend on them
    assert {field.name for field in fields(TrainConfig)} == passed_over | {*COUNTED, *OF_STOPPING}
