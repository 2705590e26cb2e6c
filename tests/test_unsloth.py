"""The trainer `unsloth`: what it says where it cannot run, and real trainings where Unsloth is.

Unsloth is in an environment of its own: `make test-unsloth` builds it, and names its Python in LAPD_UNSLOTH_PYTHON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from test_train_golden import COMMAND, GOLDEN
from test_train_golden import TOLERANCE as GOLDEN_TOLERANCE

from lapd.testing import make_tiny_base

PYTHON = os.environ.get("LAPD_UNSLOTH_PYTHON") or (sys.executable if find_spec("unsloth") else None)

TOLERANCE = 1e-4
"""Between Unsloth's float32 losses and those of the trainer `trl`, at each of eight steps; 1e-5 was measured."""

with_unsloth = pytest.mark.skipif(PYTHON is None, reason="Unsloth is not installed here: run `make test-unsloth`")
without_unsloth = pytest.mark.skipif(find_spec("unsloth") is not None, reason="Unsloth is installed here")


def start(*args: object) -> subprocess.Popen[str]:
    """`lapd` in the environment that has Unsloth."""
    code = "import sys; sys.argv[0] = 'lapd'; from lapd.cli import main; main()"
    command = [str(PYTHON), "-c", code, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")


def run(*args: object) -> subprocess.CompletedProcess[str]:
    process = start(*args)
    out, errors = process.communicate(timeout=500)
    return subprocess.CompletedProcess(args, process.returncode, out, errors)


def card_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run_card.json").read_text()))


@without_unsloth
def test_where_it_is_not_installed_it_says_so(invoke: Any, tmp_path: Path) -> None:
    result = invoke("train", "INFP", "--trainer", "unsloth", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "unsloth, unsloth_zoo not installed; pip install 'lapd[cuda]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@without_unsloth
def test_without_a_gpu_a_version_without_a_cpu_backend_is_named_and_not_imported(
    lapd: Callable[..., Any], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    for name in ("unsloth", "unsloth_zoo"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("raise NotImplementedError('imported')")
        (site / f"{name}-2026.10.7.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 2026.10.7\n"
        (site / f"{name}-2026.10.7.dist-info" / "METADATA").write_text(metadata)
    env = {"PYTHONPATH": str(site), "CUDA_VISIBLE_DEVICES": ""}
    result = lapd("train", "INFP", "--trainer", "unsloth", "-o", tmp_path / "out", env=env)
    assert result.returncode == 2
    assert "there is no CUDA GPU, and Unsloth 2026.10.7 has no CPU backend" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="session")
def on_tiny(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that Unsloth trained without interruption on the tiny model."""
    folder = tmp_path_factory.mktemp("unsloth") / "INFP"
    result = run("train", "INFP", *SMALL, "--trainer", "unsloth", "--base", tiny, "-o", folder)
    assert result.returncode == 0, result.stderr
    return folder


@with_unsloth
@pytest.mark.slow
def test_it_trains_the_embedded_model_as_trl_does(small_adapter: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.switching import load_adapters
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    folder = tmp_path / "INFP"
    result = run("train", "INFP", *SMALL, "--trainer", "unsloth", "-o", folder, "--json")
    assert result.returncode == 0, result.stderr
    # Unsloth's banners reach neither the one nor the other.
    assert json.loads(result.stdout)["adapter"] == str(folder)
    assert "Unsloth" not in result.stderr

    card, trl = card_of(folder), card_of(small_adapter)
    assert card["settings"]["trainer"] == "unsloth"
    assert {"unsloth", "unsloth_zoo"} <= card["versions"].keys() - trl["versions"].keys()
    assert card["data"] == trl["data"]
    assert card["settings"]["steps"] == trl["settings"]["steps"] == 8
    assert card["log"][0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    for ours, theirs in zip(card["log"], trl["log"], strict=True):
        assert ours.keys() == theirs.keys()
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=TOLERANCE)
    print("largest difference:", max(abs(a["loss"] - b["loss"]) for a, b in zip(card["log"], trl["log"], strict=True)))

    assert {p.name for p in folder.iterdir()} == {p.name for p in small_adapter.iterdir()}
    base = resolve_base("smollm2")
    ids = torch.tensor([[1, 9690, 198, 2683]])
    ours = load_adapters(load_base(base)[0], [resolve_adapter(folder)])
    theirs = PeftModel.from_pretrained(load_base(base)[0], folder).eval()
    with torch.inference_mode():
        logits = theirs(ids).logits
        assert torch.equal(ours(ids).logits, logits)
        with theirs.disable_adapter():
            assert not torch.equal(theirs(ids).logits, logits)


@with_unsloth
@pytest.mark.slow
def test_fifty_steps_follow_the_stored_curve_of_trl(tmp_path: Path) -> None:
    result = run(*COMMAND, "--trainer", "unsloth", "-o", tmp_path / "INFP")
    assert result.returncode == 0, result.stderr
    losses = [entry["loss"] for entry in card_of(tmp_path / "INFP")["log"]]
    golden = json.loads(GOLDEN.read_text())["loss"]
    print("largest difference:", max(abs(ours - stored) for ours, stored in zip(losses, golden, strict=True)))
    assert losses == pytest.approx(golden, abs=GOLDEN_TOLERANCE)


@with_unsloth
@pytest.mark.slow
def test_the_process_that_asks_never_meets_unsloth(tiny: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from lapd import TrainConfig, train_adapter
config = TrainConfig("INFP", base={str(tiny)!r}, pairs=4, epochs=1, trainer="unsloth", eval_pairs=0)
card = train_adapter(config, Path({str(tmp_path / "out")!r})).card
import transformers, trl
print([name for name in sys.modules if name.startswith("unsloth")], card["trainer"]["name"])
"""
    result = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, timeout=300, cwd="/")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["[] unsloth"]


def child_of(process: subprocess.Popen[str]) -> int:
    """The process id of the one child."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def wait_for_checkpoint(partial: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.time() + 240
    while not list(partial.glob("checkpoints/checkpoint-*/lapd_complete")):
        assert process.poll() is None, process.communicate()
        assert time.time() < deadline, "no checkpoint"
        time.sleep(0.02)


def wait_for_end(pid: int) -> None:
    """Until there is no such process, or a dead one that nobody has asked after."""
    deadline = time.time() + 60
    status = Path(f"/proc/{pid}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.time() < deadline, "the child lives on"
        time.sleep(0.05)


@with_unsloth
@pytest.mark.slow
def test_a_killed_training_ends_its_child_and_goes_on_to_the_same_weights(
    on_tiny: Path, tiny: Path, tmp_path: Path
) -> None:
    command = ("train", "INFP", *SMALL, "--trainer", "unsloth", "--base", tiny, "-o", tmp_path / "INFP")
    process = start(*command)
    wait_for_checkpoint(tmp_path / "INFP.partial", process)
    child = child_of(process)
    process.kill()
    process.communicate()
    wait_for_end(child)
    assert not (tmp_path / "INFP").exists()
    result = run(*command)
    assert result.returncode == 0, result.stderr
    ours, theirs = (f / "adapter_model.safetensors" for f in (tmp_path / "INFP", on_tiny))
    assert ours.read_bytes() == theirs.read_bytes()
    assert card_of(tmp_path / "INFP")["log"] == card_of(on_tiny)["log"]


@with_unsloth
@pytest.mark.slow
def test_an_interrupt_ends_the_child_and_says_how_to_go_on(tiny: Path, tmp_path: Path) -> None:
    process = start("train", "INFP", *SMALL, "--trainer", "unsloth", "--base", tiny, "-o", tmp_path / "INFP")
    wait_for_checkpoint(tmp_path / "INFP.partial", process)
    child = child_of(process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    wait_for_end(child)


@with_unsloth
@pytest.mark.slow
def test_an_error_in_the_child_is_one_line(tiny: Path, tmp_path: Path) -> None:
    command = ("train", "INFP", *SMALL, "--trainer", "unsloth", "--base", tiny, "-o", tmp_path / "INFP")
    result = run(*command, "--max-length", "8")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: pair 1: it has ")
    assert "Set --max-length" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@with_unsloth
@pytest.mark.slow
def test_what_breaks_in_unsloth_is_one_line_that_says_where_to_read_on(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "unsloth").mkdir()
    (tmp_path / "unsloth/__init__.py").write_text("raise ImportError('this torch is too old')")
    (tmp_path / "unsloth/_cpu_init.py").touch()
    code = "import sys; sys.argv[0] = 'lapd'; from lapd.cli import main; main()"
    command = ("train", "INFP", *SMALL, "--trainer", "unsloth", "--base", str(tiny), "-o", str(tmp_path / "INFP"))
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [str(PYTHON), "-c", code, *command], capture_output=True, text=True, env=env, timeout=120, cwd="/"
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: Unsloth failed: ImportError: this torch is too old. More is in ")
    log = tmp_path / "INFP.partial/checkpoints/unsloth.log"
    assert str(log) in line
    assert "Traceback" in log.read_text()
