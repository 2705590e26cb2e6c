"""Recipes: settings under a name, which whatever is given outright replaces, from Python, YAML and flags alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import run_python

from lapd.adapters.adapter import resolve_adapter
from lapd.errors import DataError, UnknownNameError
from lapd.experiment.file import read_experiment
from lapd.testing import make_tiny_base
from lapd.train.config import TrainConfig
from lapd.train.recipes import describe, get_recipe, read_recipe, recipes

STUDY = {
    "r": 16,
    "alpha": 16,
    "lora_dropout": 0.0,
    "lr": 1e-5,
    "schedule": "cosine",
    "batch_size": 16,
    "grad_accum": 16,
    "weight_decay": 0.01,
    "beta": 0.1,
}


def values(config: TrainConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in STUDY}


@pytest.mark.parametrize("name", recipes())
def test_every_shipped_recipe_is_a_configuration_of_the_right_types(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.description
    config = TrainConfig.from_dict({"persona": "INFP", **recipe.settings})
    assert {key: getattr(config, key) for key in recipe.settings} == recipe.settings
    assert not {"persona", "recipe", "dataset", "control"} & recipe.settings.keys()


def test_lapd_2024_has_the_studys_settings() -> None:
    config = TrainConfig("INFP", recipe="lapd-2024")
    assert values(config) == STUDY
    assert config.recipe == "lapd-2024"
    # What the recipe does not name stays at its default.
    assert config.epochs == TrainConfig("INFP").epochs


def test_what_is_given_replaces_the_recipes_value_even_if_it_is_the_default() -> None:
    default = TrainConfig("INFP")
    assert default.lr != STUDY["lr"]
    config = TrainConfig("INFP", lr=default.lr, beta=0.2, recipe="lapd-2024")
    assert values(config) == {**STUDY, "lr": default.lr, "beta": 0.2}
    by_position = TrainConfig("INFP", "smollm2", None, "contrast", 4, "trl", 0.15, recipe="lapd-2024")
    assert by_position.beta == 0.15
    assert replace(config, seed=1).lr == default.lr


def test_yaml_takes_a_recipe_and_single_settings_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(
        "name: study\nout: runs/study\npersonas: [INFP, ENTJ]\n"
        "train: {recipe: lapd-2024, beta: 0.2}\nevaluate: {tasks: [situations]}\n"
    )
    _, trains, _ = read_experiment(path)
    assert [values(config) for config in trains] == [{**STUDY, "beta": 0.2}] * 2


def test_an_unknown_recipe_is_an_error_with_the_nearest_name(tmp_path: Path, invoke: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"no recipe 'lapd-2042'. Did you mean lapd-2024\?"):
        TrainConfig("INFP", recipe="lapd-2042")
    result = invoke("train", "INFP", "--recipe", "lapd-2042", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "Did you mean lapd-2024?" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_help_of_train_shows_each_recipe_with_its_settings(invoke: Any) -> None:
    text = " ".join(invoke("train", "--help").stdout.split())
    for name, recipe in recipes().items():
        assert f"{name} ({describe(recipe)})" in text
    assert "lr 1e-05" in text


def test_a_file_that_is_no_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("settings: {r: 8}\n")
    with pytest.raises(DataError, match=r"mine\.yaml: the setting 'description' is missing"):
        read_recipe(path)


def test_a_configuration_without_a_recipe_reads_none() -> None:
    code = """
import lapd.train.recipes
def fail(*args): raise AssertionError
lapd.train.recipes.recipes = fail
from lapd import TrainConfig
TrainConfig("INFP")
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_training_by_recipe_is_the_one_with_its_settings_spelled_out(tmp_path: Path, warm_lapd: Any) -> None:
    base = make_tiny_base(tmp_path / "tiny")
    common = ("train", "INFP", "--base", base, "--pairs", "8", "--epochs", "1", "-o", tmp_path / "out")
    result = warm_lapd(*common, "--recipe", "lapd-2024", "--grad-accum", "1", "--lr", "2e-4")
    assert result.returncode == 0, result.stderr
    card = json.loads((tmp_path / "out/run_card.json").read_text())
    settings = {**STUDY, "grad_accum": 1, "lr": 2e-4, "recipe": "lapd-2024"}
    assert {name: card["settings"][name] for name in settings} == settings
    before = resolve_adapter(tmp_path / "out").digest
    result = warm_lapd(*common, "--batch-size", "16", "--weight-decay", "0.01")
    assert result.returncode == 0, result.stderr
    assert "is there already" in result.stderr
    assert resolve_adapter(tmp_path / "out").digest == before
