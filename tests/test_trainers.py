"""Choosing a trainer: by name, or `auto` by what each says of itself on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lapd.errors import UnknownNameError, UsageError
from lapd.models.base import BaseModel
from lapd.testing import make_tiny_base
from lapd.train.choice import choose_trainer
from lapd.train.config import TrainConfig
from lapd.train.job import _identity
from lapd.train.training import train_adapter


@dataclass
class Plain:
    """A trainer that says nothing of how well it suits."""

    name: str
    missing: str | None = None
    description: str = "for this test"

    def unavailable(self) -> str | None:
        return self.missing


@dataclass
class Suited(Plain):
    number: float = 0
    no_4bit: bool = False

    def preference(self) -> tuple[float, str]:
        return self.number, f"it has {self.number:g} points"

    def refuses(self, config: TrainConfig) -> str | None:
        return "it has no --load-in-4bit." if config.load_in_4bit and self.no_4bit else None


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`there(*trainers)`: these are registered, and no others."""

    def register(*trainers: Plain) -> None:
        from lapd.pluginmanager import plugins

        monkeypatch.setitem(plugins().registered, "trainers", {trainer.name: trainer for trainer in trainers})

    return register


def test_auto_takes_the_highest_preference_and_says_why(there: Any) -> None:
    there(Plain("plain"), Suited("good", number=2), Suited("slow", number=-1))
    choice = choose_trainer(TrainConfig("INFP"))
    assert (choice.trainer.name, choice.why) == ("good", "it has 2 points.")


def test_a_trainer_that_states_no_preference_counts_as_zero(there: Any) -> None:
    there(Plain("plain"), Suited("slow", number=-1))
    assert choose_trainer(TrainConfig("INFP")).trainer.name == "plain"


def test_auto_passes_over_what_cannot_run_and_gives_its_reason(there: Any) -> None:
    there(Suited("good", missing="it is not installed.", number=2), Suited("trl", number=1))
    choice = choose_trainer(TrainConfig("INFP", trainer="Auto"))
    assert choice.trainer.name == "trl"
    assert choice.why == "it has 1 points. Not good: it is not installed."


def test_auto_passes_over_what_refuses_the_settings(there: Any) -> None:
    there(Suited("quick", number=3, no_4bit=True), Suited("able", number=1))
    assert choose_trainer(TrainConfig("INFP", load_in_4bit=True)).trainer.name == "able"
    assert choose_trainer(TrainConfig("INFP")).trainer.name == "quick"


def test_with_no_trainer_that_can_run_every_reason_is_given(there: Any) -> None:
    there(Plain("a", missing="no GPU."), Suited("b", no_4bit=True))
    message = r"No trainer can run here\. Not a: no GPU\. Not b: it has no --load-in-4bit\."
    with pytest.raises(UsageError, match=message):
        choose_trainer(TrainConfig("INFP", load_in_4bit=True))


def test_a_trainer_that_is_asked_for_by_name_is_taken_or_says_why_not(there: Any) -> None:
    there(Suited("good", number=2), Plain("plain"), Plain("broken", missing="no GPU."))
    choice = choose_trainer(TrainConfig("INFP", trainer="PLAIN"))
    assert (choice.trainer.name, choice.why) == ("plain", "")
    with pytest.raises(UsageError, match=r"Trainer broken cannot run here: no GPU\."):
        choose_trainer(TrainConfig("INFP", trainer="broken"))
    with pytest.raises(UnknownNameError, match="Did you mean plain"):
        choose_trainer(TrainConfig("INFP", trainer="plan"))


def test_4bit_is_refused_by_name_where_there_is_no_gpu(invoke: Any, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for trainer in ("auto", "trl"):
        result = invoke("train", "INFP", "--trainer", trainer, "--load-in-4bit", "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert "--load-in-4bit" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_identity_of_an_adapter_trained_by_trl_is_what_it_always_was(base: BaseModel) -> None:
    """The digest that LAPD 0.1.0 gave, when `trl` was the only trainer: its adapters still count as finished."""
    assert _identity(TrainConfig("INFP", trainer="trl"), base, [], []) == (
        "15a2f5246d0b7c8b720d3dd8d7bc10cc65db29d49fad9e1f1d81fec91bc42ca7"
    )


@pytest.mark.slow
def test_the_run_card_names_the_trainer_and_auto_accepts_any_trainers_adapter(tmp_path: Path, warm_lapd: Any) -> None:
    base = str(make_tiny_base(tmp_path / "tiny"))
    settings = ("train", "INFP", "--base", base, "--pairs", "4", "--epochs", "1", "-o", tmp_path / "INFP")
    result = warm_lapd(*settings)
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Trainer ")]
    card = json.loads((tmp_path / "INFP/run_card.json").read_text())
    assert line == f"Trainer {card['trainer']['name']}: {card['trainer']['why']}"
    assert card["settings"]["trainer"] == card["trainer"]["name"] == "trl"
    for trainer in ("trl", "TRL", "auto"):
        again = warm_lapd(*settings, "--trainer", trainer)
        assert again.returncode == 0, again.stderr
        assert "is there already" in again.stderr and "Trainer " not in again.stderr


@pytest.mark.slow
def test_an_adapter_that_another_trainer_made_is_finished_for_auto_only(tmp_path: Path, there: Any) -> None:
    from lapd.pluginmanager import lookup

    trl = lookup("trainers", "trl")
    base = str(make_tiny_base(tmp_path / "tiny"))
    config = TrainConfig("INFP", base=base, pairs=4, epochs=1, trainer="trl", eval_pairs=0)
    made = train_adapter(config, tmp_path / "INFP", quiet=True)
    there(trl, Suited("better", number=9))
    automatic = TrainConfig("INFP", base=base, pairs=4, epochs=1, eval_pairs=0)
    assert train_adapter(automatic, tmp_path / "INFP", quiet=True).digest == made.digest
    by_name = TrainConfig("INFP", base=base, pairs=4, epochs=1, trainer="better", eval_pairs=0)
    with pytest.raises(UsageError, match="other settings"):
        train_adapter(by_name, tmp_path / "INFP")
