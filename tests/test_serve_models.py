"""`lapd serve-models`: an engine that is started, waited for, found by `lapd eval`, and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from lapd.adapters.adapter import Adapter, resolve_adapter
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import LapdError, ModelError, UsageError
from lapd.evaluate.reached import reach
from lapd.models.base import BaseModel
from lapd.serving.note import Served, ServedAdapter, served_at, served_here, write_note
from lapd.serving.process import Server
from lapd.serving.vllm import find_vllm, vllm_command, vllm_environment

STAND_IN = Path(__file__).with_name("stand_in_vllm.py")


@pytest.fixture
def vllm(tmp_path: Path) -> Path:
    """An executable that is called as vLLM is: a small real server."""
    script = tmp_path / "vllm"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def adapter(make_adapter: Callable[..., Path]) -> Adapter:
    folder = make_adapter("INFP")
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 10, "lora_alpha": 8, "target_modules": ["v_proj", "q_proj"]})
    )
    return resolve_adapter(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def note(adapter: Adapter, process: int, port: int = 8000) -> Served:
    beside = (ServedAdapter(adapter.name, str(adapter.path), adapter.digest),)
    return Served(f"http://127.0.0.1:{port}/v1", process, "fake", "/nowhere", "b" * 64, beside)


def test_the_command_names_every_adapter_and_the_layers_that_they_change(base: BaseModel, adapter: Adapter) -> None:
    command = vllm_command("vllm", base, [adapter], 8123, None, ["enforce-eager", "max-model-len=64"])
    text = " ".join(command)
    assert text.startswith("vllm serve /nowhere --served-model-name fake --host 127.0.0.1 --port 8123 --dtype float32 ")
    assert f"--max-lora-rank 16 --max-loras 1 --lora-modules INFP={adapter.path}" in text
    assert text.endswith("--lora-target-modules q_proj v_proj --enforce-eager --max-model-len 64")
    assert "--enable-lora" not in vllm_command("vllm", base, [], 8123, None)
    assert "--dtype auto" in " ".join(vllm_command("vllm", base, [], 8123, None, gpu=True))


def test_what_the_environment_says_outweighs_what_a_cpu_needs() -> None:
    told = {"VLLM_CPU_KVCACHE_SPACE": "9"}
    assert vllm_environment(told, gpu=False)["VLLM_CPU_KVCACHE_SPACE"] == "9"
    assert vllm_environment({}, gpu=False)["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert vllm_environment({}, gpu=True) == {"HF_HUB_OFFLINE": "1"}


def test_what_vllm_does_not_take_is_refused_before_it_is_started(base: BaseModel, adapter: Adapter) -> None:
    with pytest.raises(UsageError, match="Write the scaled adapter with `lapd merge`"):
        vllm_command("vllm", base, [adapter.at(0.5)], 8123, None)
    with pytest.raises(UsageError, match="Two models are called 'INFP'"):
        vllm_command("vllm", base, [adapter, adapter], 8123, None)
    settings = json.loads((adapter.path / "adapter_config.json").read_text())
    (adapter.path / "adapter_config.json").write_text(json.dumps({**settings, "use_dora": True}))
    with pytest.raises(ModelError, match="INFP is no plain LoRA"):
        vllm_command("vllm", base, [resolve_adapter(adapter.path)], 8123, None)


def test_without_vllm_one_line_says_what_to_install(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, vllm: Path
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("LAPD_VLLM", raising=False)
    result = invoke("serve-models", "out/x")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: vLLM is not installed: there is no command vllm. pip install vllm in an")
    assert "There is no command '/nowhere/vllm'" in invoke("serve-models", "--command", "/nowhere/vllm").stderr
    monkeypatch.setenv("LAPD_VLLM", str(vllm))
    assert find_vllm() == str(vllm)


def test_a_server_that_runs_is_found_with_its_adapters_and_one_that_is_gone_is_not(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    write_note(note(adapter, gone.pid, 8001), 8001)
    write_note(note(adapter, os.getpid()), 8000)
    assert [served.base_url for served in served_here()] == ["http://127.0.0.1:8000/v1"]
    found = reach(None, [], {})
    assert (found.model.endpoint.model, found.model.endpoint.base_url) == ("fake", "http://127.0.0.1:8000/v1")
    assert found.adapters == [adapter]
    assert reach(None, ["INFP"], {"base_url": "http://127.0.0.1:8000/v1/"}).adapters == [adapter]
    assert served_at("http://127.0.0.1:8002/v1") is None
    (adapter.path / "adapter_model.safetensors").write_bytes(b"trained again")
    with pytest.raises(ModelError, match=r"INFP at http.* is what .* held before\. End `lapd serve-models`"):
        reach(None, [], {})
    write_note(note(adapter, os.getpid(), 8003), 8003)
    with pytest.raises(UsageError, match="Several servers run here"):
        reach(None, [], {})


def test_a_server_that_fails_shows_its_last_lines(
    lapd: Callable[..., subprocess.CompletedProcess[str]], base_folder: Path, vllm: Path, tmp_path: Path
) -> None:
    environment = {"LAPD_CACHE": str(tmp_path / "cache"), "STAND_IN_FAILS": "no room"}
    command = ("serve-models", "--base", base_folder, "--command", vllm, "--port", free_port())
    result = lapd(*command, env=environment)
    assert result.returncode == 1
    assert "  RuntimeError: no room\nError: The server ended before it was up (exit code 3). Its log: " in result.stderr


def test_ctrl_c_ends_the_server_and_takes_its_note_away(
    base_folder: Path, adapter: Adapter, vllm: Path, tmp_path: Path
) -> None:
    card = json.loads((adapter.path / "run_card.json").read_text())
    from lapd.models.base import resolve_base

    base = resolve_base(str(base_folder))
    card["base"] = base.origin
    (adapter.path / "run_card.json").write_text(json.dumps(card))
    port, cache = free_port(), tmp_path / "cache"
    script = Path(sys.executable).with_name("lapd")
    command = [str(script), "serve-models", str(adapter.path), "--port", str(port), "--command", str(vllm)]
    process = subprocess.Popen(
        [*command, "--base", str(base_folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAPD_CACHE": str(cache)},
    )
    told, deadline = cache / "served" / f"{port}.json", time.monotonic() + 120
    while not told.is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert json.loads(told.read_text())["adapters"][0]["digest"] == adapter.digest
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"  {adapter.digest[:12]}  {adapter.path}" in out and f"http://127.0.0.1:{port}/v1 until Ctrl-C" in out
    assert "No longer served." in err
    assert not told.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_server_with_other_models_is_not_taken_for_ours(base_folder: Path, vllm: Path, tmp_path: Path) -> None:
    port = free_port()
    words = [str(vllm), "serve", str(base_folder), "--served-model-name", "a", "--port", str(port)]
    with Server(words, os.environ, tmp_path / "log") as server:
        endpoint = Endpoint("a", f"http://127.0.0.1:{port}/v1")
        with pytest.raises(LapdError, match="has no INFP, but a"):
            server.wait_until_up(endpoint, ["a", "INFP"], 60, lambda seconds, line: None)
