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


def furthest(run: Path, folder: Path | str, adapters: dict[str, Path]) -> dict[str, float]:
    """By arm, the largest difference (nats) between a run's log-likelihoods and those of lm-eval's `hf` in float32.

    Args:
        run: of the served models.
        folder: the base model's.
        adapters: by arm; any other arm is the base.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.api.registry import get_model

    store, found = Store(run), {}
    for result in store.results():
        weights = {"pretrained": str(folder), "dtype": "float32"}
        weights |= {"peft": str(adapters[result["arm"]])} if result["arm"] in adapters else {}
        asked = [tuple(pair) for sample in store.samples(result["cell"]) for pair in sample["arguments"]]
        requests = [Instance("loglikelihood", {}, pair, n) for n, pair in enumerate(asked)]
        lm = get_model("hf").create_from_arg_obj(weights, {"batch_size": 1, "device": "cpu"})
        here = [logprob for logprob, _ in lm.loglikelihood(requests, disable_tqdm=True)]
        there = numbers(run)[result["arm"], result["task"]]
        worst = max(abs(one - other) for one, other in zip(here, there, strict=True))
        found[result["arm"]] = max(worst, found.get(result["arm"], 0.0))
    return found


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
    distances = furthest(tmp_path / "there", resolve_base("smollm2").path, {"INFP": adapter})
    print(f"largest difference, nats: {distances}")
    assert distances.keys() == {"base", "INFP"} and max(distances.values()) < 1e-3


def test_likelihoods_of_a_baked_adapter_are_those_of_float32_here(
    invoke: Callable[..., Result], models: Path, tmp_path: Path
) -> None:
    tasks = ("--tasks", "situations,mbti", "--limit", 2, "--arms", "base")
    with served("--base", models / "whole") as address:
        command = ("eval", "--model", "endpoint", "--base-url", address, *tasks, *PATIENCE)
        there = invoke(*command, "-o", tmp_path / "there")
    assert there.exit_code == 0, there.stderr
    distances = furthest(tmp_path / "there", models / "whole", {})
    print(f"largest difference, nats: {distances}")
    assert distances["base"] < 1e-3


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
    store = Store(tmp_path / "run")
    result = store.result(store.results()[0]["cell"])
    work = result["provenance"]["work"]
    assert work["batches"] - work["computed"] >= kept - 1  # the first line is the journal's own
    assert result["n_documents"] == 6
