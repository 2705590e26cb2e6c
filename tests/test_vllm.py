"""A real vLLM: texts of two adapters, likelihoods to a thousandth of a nat, and a run that was killed goes on.

vLLM is in an environment of its own: `make test-vllm` builds it, and names its command in LAPD_VLLM.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import Result
from lora import make_lora
from test_remote import numbers

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.bake import bake_adapters
from lapd.models.base import resolve_base
from lapd.record.store import Store

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not os.environ.get("LAPD_VLLM"), reason="vLLM is not named here: run `make test-vllm`"),
]

SMALL = ("enforce-eager", "max-model-len=2048", "max-num-batched-tokens=2048", "max-num-seqs=8")
"""Options with which vLLM is up sooner: nothing is compiled, and little is tried out."""

PATIENCE = ("--timeout", 1800)
"""On a machine on which others compute too."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `adapters/INFP` and `adapters/ENTJ`, random ones of the embedded model, and `whole`: INFP baked."""
    folder, base = tmp_path_factory.mktemp("models"), resolve_base("smollm2")
    for seed, name in enumerate(("INFP", "ENTJ")):
        make_lora(folder / "adapters" / name, base, seed=seed)
    bake_adapters([resolve_adapter(folder / "adapters" / "INFP")], base, folder / "whole")
    return folder


@contextmanager
def served(*words: object) -> Iterator[str]:
    """`lapd serve-models` in a process of its own: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = Path(sys.executable).with_name("lapd")
    options = [word for option in SMALL for word in ("--engine-option", option)]
    command = [str(script), "serve-models", *map(str, words), "--port", str(port), "--wait", "1800", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        for line in process.stdout:
            if "until Ctrl-C" in line:
                break
        else:
            pytest.fail("the server did not come up: what it said stands above")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def url(models: Path) -> Iterator[str]:
    with served(models / "adapters" / "*") as address:
        yield address


def furthest(there: Path, here: Path, arms: tuple[str, ...] = ("base",)) -> float:
    """The largest difference (nats) between the log-likelihoods of two runs."""
    ours, theirs = numbers(here), numbers(there)
    keys = [key for key in ours if key[0] in arms]
    assert keys and all(len(ours[key]) == len(theirs[key]) for key in keys)
    return max(abs(one - other) for key in keys for one, other in zip(ours[key], theirs[key], strict=True))


def test_two_adapters_write_each_their_own(invoke: Callable[..., Result], url: str, tmp_path: Path) -> None:
    words = ("--tasks", "situations_open", "--limit", 2, "--arms", "base,adapter", *PATIENCE, "-o", tmp_path)
    result = invoke("eval", "--model", "endpoint", "--base-url", url, *words)
    assert result.exit_code == 0, result.stderr
    store = Store(tmp_path)
    texts = {r["arm"]: str([s["responses"] for s in store.samples(r["cell"])]) for r in store.results()}
    assert texts.keys() == {"base", "INFP", "ENTJ"}
    assert len(set(texts.values())) == 3


def test_likelihoods_of_base_and_adapter_are_those_of_float32_here(
    invoke: Callable[..., Result], url: str, models: Path, tmp_path: Path
) -> None:
    tasks = ("--tasks", "situations,mbti,socialiqa_mini", "--limit", 2, "--arms", "base,adapter")
    adapter = models / "adapters" / "INFP"
    command = ("eval", "--model", "endpoint", "--base-url", url, "--adapter", "INFP", *tasks, *PATIENCE)
    there = invoke(*command, "-o", tmp_path / "there")
    assert there.exit_code == 0, there.stderr
    invoke("eval", "--adapter", adapter, *tasks, "-o", tmp_path / "here")
    distances = {arm: furthest(tmp_path / "there", tmp_path / "here", (arm,)) for arm in ("base", "INFP")}
    print(f"largest difference, nats: {distances}")
    assert max(distances.values()) < 1e-3


def test_likelihoods_of_a_baked_adapter_are_those_of_float32_here(
    invoke: Callable[..., Result], models: Path, tmp_path: Path
) -> None:
    tasks = ("--tasks", "situations,mbti", "--limit", 2, "--arms", "base")
    with served("--base", models / "whole") as address:
        command = ("eval", "--model", "endpoint", "--base-url", address, *tasks, *PATIENCE)
        there = invoke(*command, "-o", tmp_path / "there")
    assert there.exit_code == 0, there.stderr
    invoke("eval", "--base", models / "whole", *tasks, "-o", tmp_path / "here")
    distance = furthest(tmp_path / "there", tmp_path / "here")
    print(f"largest difference, nats: {distance}")
    assert distance < 1e-3


def test_a_killed_run_goes_on_where_it_was(url: str, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("lapd")
    command = [str(script), "eval", "--model", "endpoint", "--base-url", url, "--tasks", "situations", "--limit", "6"]
    command += ["--arms", "base", "--concurrency", "1", *map(str, PATIENCE), "-o", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 1800
    while not (kept := sum(len(f.read_bytes().splitlines()) for f in tmp_path.glob("run/cells/*/journal.jsonl"))) > 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.glob("run/cells/*/result.json"))
    subprocess.run(command, check=True, capture_output=True)
    (result,) = Store(tmp_path / "run").results()
    work = result["provenance"]["work"]
    assert work["batches"] - work["computed"] >= kept - 1  # the first line is the journal's own
    assert result["n_documents"] == 6
