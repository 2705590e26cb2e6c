"""What `lapd run` advises: keys of its file, never options that it does not have."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from lapd.errors import DataError, UnknownNameError
from lapd.experiment.advice import in_keys, in_words_of_the_file
from lapd.files.whole import write_json

OPTIONS = {"--executor", "--executor-option", "--traits", "--plan", "--json", "--help"}


@pytest.fixture
def experiment(tmp_path: Path, base_folder: Path) -> Callable[[str], Path]:
    """`experiment(lines)`: an experiment's file on a base without weights, with these lines under `train`."""

    def write(train: str) -> Path:
        file = tmp_path / "experiment.yaml"
        file.write_text(
            f"name: e\nbase: {base_folder}\npersonas: [INFP]\nout: {tmp_path}/run\ntrain: {{{train}}}\n"
            "evaluate: {tasks: [situations]}\n"
        )
        return file

    return write


@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_a_training_that_has_changed_is_refused_with_what_can_be_done(
    experiment: Callable[[str], Path], tmp_path: Path, invoke: Callable[..., Result], plan: tuple[str, ...]
) -> None:
    folder = tmp_path / "run" / "adapters" / "INFP"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    write_json(folder / "adapter_config.json", {})
    base = {"name": "b", "digest": "b" * 64}
    card = {"schema": "lapd.run_card/1", "identity": "other", "persona": "INFP", "base": base, "seconds": 1.0}
    write_json(folder / "run_card.json", card)
    result = invoke("run", experiment("pairs: 4, trainer: trl"), *plan)
    assert result.exit_code == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert "trained with other settings. Give another `out`, or delete the folder to replace it." in line
    assert set(re.findall(r"--[a-z-]+", line)) <= OPTIONS


def test_a_wrong_value_names_the_files_key(experiment: Callable[[str], Path], invoke: Callable[..., Result]) -> None:
    result = invoke("run", experiment("loss: robust"))
    assert result.exit_code == 2
    assert "`train: loss` robust needs `train: label_smoothing`" in result.stderr
    assert not set(re.findall(r"--[a-z-]+", result.stderr)) - OPTIONS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("leave them out with --arms base,adapter.", "leave them out with `evaluate: arms` base,adapter."),
        ("Lower --lr, or give --seed 1.", "Lower `train: lr`, or give `evaluate: seed` 1."),
        ("Give --strength 2, --judge-option x=1.", "Give `evaluate: strengths` 2, `evaluate: judge_options` x=1."),
        ("`lapd judge runs/x --judge y` makes them.", "`lapd judge runs/x --judge y` makes them."),
        ("Give --executor-option workers=2.", "Give --executor-option workers=2."),
        ("a-o and re--use stay", "a-o and re--use stay"),
    ],
)
def test_options_become_keys(text: str, said: str) -> None:
    assert in_keys(text, "evaluate") == said


def test_an_error_stays_of_its_kind() -> None:
    with pytest.raises(UnknownNameError, match="Give `base`"), in_words_of_the_file("train"):
        raise UnknownNameError("model", "x", [], "Give --base.")
    with pytest.raises(DataError) as caught, in_words_of_the_file("train"):
        raise DataError("there", "nothing.", hint="Give another -o.")
    assert (str(caught.value), caught.value.hint) == ("there: nothing. Give another `out`.", "Give another `out`.")
