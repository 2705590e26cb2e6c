"""Fifty float32 steps of `lapd train` against a stored loss curve: on a tiny model, and on the embedded one.

    python tests/test_train_golden.py      writes the curves anew, with the trainer `trl`

Do that only when the change is meant to change what is trained, and say so in the changelog.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest
from warm import Warm

from lapd.models.embedded import embedded_folder
from lapd.testing import make_tiny_base

GOLDEN = Path(__file__).with_name("golden") / "train_INFP.json"
GOLDEN_TINY = GOLDEN.with_name("train_INFP_tiny.json")

COMMAND = (
    *("train", "INFP", "--pairs", "25", "--batch-size", "1", "--epochs", "2", "--precision", "float32"),
    *("--eval-pairs", "0", "--save-steps", "1000"),
)
"""Batches of one pair: padding and the order within a batch, which trainers may choose, then do not matter."""

ON_TINY = (*COMMAND, "--lr", "2e-3")

TOLERANCE = 0.005
"""Nats, at every step. Thread counts, ways to the loss and processors add up floating-point numbers in other orders.
Measured on one processor, the differences stay below 0.00001 over the 50 steps (one thread against two; the packed loss
against TRL's own); the tolerance leaves room for other processors and trainers. A wrong learning rate, another order of
the pairs or a lost token of the prompt shows up in hundredths."""


def curve(warm: Warm, folder: Path, *command: object) -> list[float]:
    """The losses of the fifty steps, in nats, through the command line."""
    script = Path(sys.executable).with_name("lapd")
    done = warm.run(script, *command, "--trainer", "trl", "-o", folder / "INFP", timeout=900)
    assert done.returncode == 0, done.stderr
    return [entry["loss"] for entry in json.loads((folder / "INFP/run_card.json").read_text())["log"]]


def curve_on_tiny(warm: Warm, folder: Path) -> list[float]:
    base = make_tiny_base(folder / "base", embedded_folder())
    return curve(warm, folder, *ON_TINY, "--base", base)


def follows(losses: list[float], file: Path, command: tuple[str, ...]) -> None:
    golden = json.loads(file.read_text())
    assert golden["command"] == " ".join(command)
    assert len(losses) == len(golden["loss"]) == 50
    # Something is learned on the way, or the comparison says nothing.
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    assert losses == pytest.approx(golden["loss"], abs=TOLERANCE)


def test_fifty_steps_of_a_tiny_model_follow_the_stored_curve(warm: Warm, tmp_path: Path) -> None:
    follows(curve_on_tiny(warm, tmp_path), GOLDEN_TINY, ON_TINY)


@pytest.mark.slow
@pytest.mark.thorough
def test_fifty_steps_follow_the_stored_curve(warm: Warm, tmp_path: Path) -> None:
    follows(curve(warm, tmp_path, *COMMAND), GOLDEN, COMMAND)


def write(file: Path, command: tuple[str, ...], losses: list[float]) -> None:
    found = {"command": " ".join(command), "loss": [round(loss, 6) for loss in losses]}
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{file}: {losses[0]} ... {losses[-1]}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, Warm() as server:
        write(GOLDEN, COMMAND, curve(server, Path(temporary, "embedded"), *COMMAND))
        write(GOLDEN_TINY, ON_TINY, curve_on_tiny(server, Path(temporary, "tiny")))
