"""What a training is said to have come to, with how many pairs speak; and `lapd train --plan`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from conftest import listing

from lapd.adapters.card import model_card
from lapd.adapters.outcome import outcome, told
from lapd.files.whole import read_json, write_json
from lapd.testing import make_tiny_adapter, make_tiny_base
from lapd.train.config import TrainConfig
from lapd.train.plan import plan_trainings, steps_of

Invoke = Callable[..., Result]


def card(control: str | None, losses: list[float], margin: float, share: float, pairs: int) -> dict[str, Any]:
    """A run card of a training whose pairs moved by 20 nats in the end."""
    log: list[dict[str, float]] = [{"step": n + 1, "loss": loss, "margin": 2.0} for n, loss in enumerate(losses)]
    log[-1] |= {"heldout_margin": margin, "heldout_accuracy": share}
    return {
        "persona": "INFP",
        "poles": {},
        "control": control,
        "base": {"name": "fake", "digest": "b" * 64, "upstream": "someone/fake"},
        "data": {"pairs": 8, "digest": "d" * 64, "sources": {"from": "contrast"}, "heldout": {"pairs": pairs}},
        "settings": {"beta": 0.1, "steps": len(losses)},
        "versions": {"lapd": "0"},
        "log": log,
    }


FALLING = [0.69, 0.5, 0.3, 0.2]
FLAT = [0.69, 0.7, 0.68, 0.69]


def test_the_number_of_pairs_stands_beside_their_scores() -> None:
    found = outcome(card(None, FALLING, 1.9, 0.875, 24))
    assert found is not None
    assert (found.steps, found.first, found.last, found.shift) == (4, 0.69, 0.2, 20.0)
    assert found.scores == "+1.90 nats, 88% of 24 pairs"
    assert found.p < 0.001 and not found.nothing_heldout
    assert told(card(None, FALLING, 1.9, 0.875, 24), "INFP") == [
        "Loss from 0.69 to 0.20 in 4 steps; held-out: +1.90 nats, 88% of 24 pairs."
    ]


def test_a_few_pairs_are_said_to_tell_nothing() -> None:
    lines = told(card(None, FLAT, -0.03, 0.75, 4), "INFP")
    assert lines[0].endswith("held-out: -0.03 nats, 75% of 4 pairs.")
    assert lines[1:] == ["So few held-out pairs cannot be told from chance (--eval-pairs, from 6 on)."]


@pytest.mark.parametrize(("margin", "share", "pairs"), [(0.1, 0.5, 24), (-1.5, 0.42, 24), (0.4, 0.5, 4)])
def test_a_control_whose_loss_fell_and_whose_heldout_pairs_stood_still_has_memorised(
    margin: float, share: float, pairs: int
) -> None:
    lines = told(card("shuffled", FALLING, margin, share, pairs), "shuffled-INFP")
    assert lines[1].startswith("shuffled-INFP memorised its pairs: the training loss fell from 0.69 to 0.20, as a per")
    assert f"stays near 0 ({margin:+.2f} nats on {pairs} pairs)" in lines[1]
    assert lines[1] in model_card(card("shuffled", FALLING, margin, share, pairs))


@pytest.mark.parametrize(
    ("control", "losses", "margin", "share", "pairs"),
    [
        ("shuffled", FLAT, 0.1, 0.5, 24),  # it learned nothing
        ("opposite", FALLING, -9.0, 0.04, 24),  # it learned another thing
        ("shuffled", FALLING, 9.0, 0.75, 4),  # what four pairs say is not near 0
        (None, FALLING, 0.1, 0.5, 24),  # no control
    ],
)
def test_no_other_has_memorised(
    control: str | None, losses: list[float], margin: float, share: float, pairs: int
) -> None:
    assert "memorised" not in " ".join(told(card(control, losses, margin, share, pairs), "INFP"))


def test_a_persona_that_only_learned_its_own_pairs_is_said_to_show_nothing() -> None:
    (_, line) = told(card(None, FALLING, 0.1, 0.5, 24), "INFP")
    assert line.startswith("That share is what chance gives (p = 1.00, sign test): nothing of what the loss gained")


def test_what_was_not_scored_or_not_trained_has_no_scores() -> None:
    bare = card(None, FALLING, 0.1, 0.5, 24)
    del bare["log"][-1]["heldout_margin"]
    assert told(bare, "INFP") == ["Loss from 0.69 to 0.20 in 4 steps; held-out: none."]
    assert outcome({**bare, "log": []}) is None and told({**bare, "log": []}, "sum") == []
    old = card(None, FALLING, 0.1, 0.5, 24)
    del old["data"]["heldout"]  # a run card from before they were counted
    assert told(old, "INFP")[0].endswith("50% of ? pairs.")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny base and an adapter."""
    folder = tmp_path_factory.mktemp("told")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(folder / "cache"))
        make_tiny_base(folder / "base")
        make_tiny_adapter(folder / "base", folder / "out/INFP", eval_pairs=4, epochs=1.0)
    return folder


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(place / "cache"))
    monkeypatch.chdir(place)


SETTINGS = ("--base", "base", "--pairs", "4", "--batch-size", "2", "--epochs", "1", "--save-steps", "1")
SETTINGS += ("--lr", "1e-2", "--precision", "float32", "--max-length", "1024", "--eval-pairs", "4")


def test_the_command_says_what_it_came_to_and_a_control_goes_beside_its_persona(
    invoke: Invoke, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(place / "out", tmp_path / "out")
    (tmp_path / "base").symlink_to(place / "base")
    monkeypatch.chdir(tmp_path)
    again = invoke("train", "INFP", *SETTINGS)
    assert again.exit_code == 0, again.stderr
    lines = again.stdout.splitlines()
    assert lines[1].startswith("Loss from 0.69 to 0.") and lines[1].endswith("of 4 pairs.")
    control = invoke("train", "INFP", *SETTINGS, "--control", "shuffled")
    assert control.exit_code == 0, control.stderr
    assert "Next: lapd eval --adapter out/INFP --adapter out/shuffled-INFP --tasks situations" in control.stderr
    assert " of 4 pairs" in control.stderr.replace("\r", "\n")  # in the bar too


def test_a_plan_says_what_would_be_trained_and_how_long_it_takes(invoke: Invoke, place: Path) -> None:
    before = [listing(place / "out"), listing(place)]
    result = invoke("train", "INFP", "ESTJ", *SETTINGS, "--plan")
    assert result.exit_code == 0, result.stderr
    header, first, second, _, count, left = result.stdout.splitlines()
    assert header.split() == ["adapter", "base", "trainer", "pairs", "held-out", "steps", "state"]
    assert first.split()[0] == "INFP" and first.split()[-1] == "done"
    assert second.split()[0] == "ESTJ" and " to do, " in second and second.endswith(" left")
    assert count == "2 adapters, 1 of them there, 1 to train."
    assert left.startswith("Time left: about ")
    assert [listing(place / "out"), listing(place)] == before
    found = json.loads(invoke("train", "ESTJ", *SETTINGS, "--plan", "--json").stdout)
    took = read_json(place / "out/INFP/run_card.json")["seconds"]
    assert found["seconds_left"] == pytest.approx(took, abs=0.1)
    assert (found["todo"], found["done"], found["trainings"][0]["steps"]) == (1, 0, 2)


def test_a_plan_knows_no_time_from_another_machine_base_or_trainer(place: Path, tmp_path: Path) -> None:
    config = TrainConfig("ESTJ", base=str(place / "base"), pairs=8, batch_size=2, eval_pairs=0)
    assert plan_trainings([(config, place / "out/ESTJ")]).seconds_left is not None
    path = place / "out/INFP/run_card.json"
    kept = read_json(path)
    try:
        for change in (
            {"hardware": {**kept["hardware"], "cores": 999}},
            {"base": {**kept["base"], "digest": "0" * 64}},
            {"trainer": {"name": "other"}},
        ):
            write_json(path, {**kept, **change})
            assert plan_trainings([(config, place / "out/ESTJ")]).seconds_left is None, change
    finally:
        write_json(path, kept)


def test_a_plan_tells_how_far_a_stopped_training_is(place: Path, tmp_path: Path) -> None:
    config = TrainConfig("ESTJ", base=str(place / "base"), pairs=8, batch_size=2, eval_pairs=0)
    out = tmp_path / "ESTJ"
    (whole,) = plan_trainings([(config, out)]).trainings
    assert (whole.step, whole.steps, whole.done) == (0, 8, False)
    from lapd.train.job import prepare

    partial = tmp_path / "ESTJ.partial"
    for step in (2, 6, 8):
        (partial / f"checkpoints/checkpoint-{step}").mkdir(parents=True)
    for step in (2, 6):  # the last one is half written
        (partial / f"checkpoints/checkpoint-{step}/lapd_complete").touch()
    write_json(partial / "identity.json", prepare(config, out).identity)
    (begun,) = plan_trainings([(config, out)]).trainings
    assert begun.step == 6 and whole.seconds_left is not None
    assert begun.seconds_left == pytest.approx(whole.seconds_left / 4, abs=0.1)
    write_json(partial / "identity.json", "of other settings")
    assert plan_trainings([(config, out)]).trainings[0].step == 0


@pytest.mark.parametrize(("pairs", "batch", "accumulated", "epochs"), [(4, 2, 1, 1.0), (5, 2, 2, 1.5), (3, 8, 4, 2.0)])
def test_steps_are_counted_as_the_trainer_does(
    place: Path, tmp_path: Path, pairs: int, batch: int, accumulated: int, epochs: float
) -> None:
    settings: dict[str, Any] = {"pairs": pairs, "batch_size": batch, "grad_accum": accumulated, "epochs": epochs}
    trained = make_tiny_adapter(place / "base", tmp_path / "INFP", **settings)
    assert trained.card is not None
    assert steps_of(TrainConfig("INFP", **settings), trained.card["data"]["pairs"]) == trained.card["settings"]["steps"]
