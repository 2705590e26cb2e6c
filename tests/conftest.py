"""What the tests share: the command line in this process and in one of its own, fake models, fake distributions."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from warm import Fork, Warm

from lapd.models.base import BaseModel
from lapd.testing import make_tiny_base

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

SCRIPT = Path(sys.executable).with_name("lapd")
"""The console script."""

SMALL = (
    "--pairs", "8", "--batch-size", "2", "--epochs", "2", "--save-steps", "2", "--eval-pairs", "2",
    "--precision", "float32",
)  # fmt: skip
"""A training of eight steps, with a checkpoint every second one."""


# A shell ignores interrupts for what it runs in the background, and processes inherit that: none could be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: two processes share the files, and a long one at the end would run alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    size = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -size[item.path]))


def run_python(code: str, *args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, away from the repository: `-c` looks for modules where it is run."""
    command = [sys.executable, "-c", code, *args]
    env = {**os.environ, **(env or {})}
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd="/", timeout=300)


@pytest.fixture(autouse=True, scope="module")
def kept() -> Iterator[None]:
    """What a file's tests imported is no garbage: it is not looked through again, which takes a third of a second."""
    yield
    gc.collect()
    gc.freeze()


def lean_lm_eval(site: Path, *, linked: bool = True) -> None:
    """lm-eval in the folder `site`, without the tasks of others: each command looks through their 14 000 files.

    Args:
        site: the folder.
        linked: with the links to LAPD's tasks that `make setup` made.
    """
    import lm_eval

    source = Path(lm_eval.__file__).parent

    def left_out(folder: str, names: list[str]) -> list[str]:
        kept = [name for name in names if name.endswith(".py") or (linked and name == "lapd")]
        return [name for name in names if name not in kept] if Path(folder) == source / "tasks" else ["__pycache__"]

    shutil.copytree(source, site / "lm_eval", symlinks=True, ignore=left_out)


def listing(folder: Path) -> list[str]:
    """The names of everything in a folder, hidden files included, sorted."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="session")
def lapd() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`lapd(*args, env=..., cwd=...)`: the console script in a process of its own."""

    def run(
        *args: object, env: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *map(str, args)],
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def warm(once: Callable[..., Path]) -> Iterator[Warm]:
    """Runs scripts in forks of a process that has imported everything (see warm.py), a lean lm-eval among it."""
    with Warm(site=once("lm_eval", lean_lm_eval)) as server:
        yield server


@pytest.fixture(scope="session")
def warm_lapd(warm: Warm) -> Callable[..., subprocess.CompletedProcess[str]]:
    """As `lapd`, in a fork of a process that has imported everything: for what needs a process and loads a model."""
    return partial(warm.run, SCRIPT)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: a folder that `make(folder)` filled, once for all processes of a session; only to be read."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared.mkdir(exist_ok=True)

    def get(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed at it
                make(folder)
                done.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def wheel_python(once: Callable[..., Path]) -> Path:
    """Python of a new environment with the built wheel and lm-eval; what else they need is lent by this environment."""

    def make(folder: Path) -> None:
        def run(*command: object) -> None:
            subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)

        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", ROOT)
        run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
        (wheel,) = (folder / "dist").glob("*.whl")
        python = folder / "venv/bin/python"
        site = next((folder / "venv/lib").glob("python*/site-packages"))
        lean_lm_eval(site, linked=False)
        run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel)
        # A path file adds this environment's packages behind the new one's own; its editable install stays out.
        (site / "lender.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")

    return once("wheel", make) / "venv/bin/python"


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """`invoke(*args)`: the command line in this process; an error that would print a traceback fails the test."""
    from lapd.cli import cli

    def run(*args: object) -> Result:
        result = CliRunner().invoke(cli, [str(a) for a in args], prog_name="lapd")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the tiny base model; what is cached meanwhile is kept away from your cache."""
    folder = make_tiny_base(tmp_path_factory.mktemp("tiny") / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture
def base_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that `resolve_base` takes for a model; it holds no weights. Its digest is kept away from your cache."""
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "none"}')
    return folder


@pytest.fixture
def base() -> BaseModel:
    """A base model's record; there is nothing behind it."""
    return BaseModel("fake", Path("/nowhere"), "b" * 64, "someone/fake")


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., Path]:
    """`make_adapter(name, persona=..., base_digest=..., schema=..., card=...)`: the folder of a fake adapter."""

    def make(
        name: str = "INFP",
        persona: str | None = "INFP",
        base_digest: str = "b" * 64,
        schema: str = "lapd.run_card/1",
        card: bool = True,
        weights: bytes = b"weights",
        **more: Any,
    ) -> Path:
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/fake"}')
        (folder / "adapter_model.safetensors").write_bytes(weights)
        if card:
            base = {"name": "fake", "digest": base_digest, "upstream": "someone/fake"}
            record = {"schema": schema, "persona": persona, "base": base, **more}
            (folder / "run_card.json").write_text(json.dumps(record))
        return folder

    return make


@pytest.fixture
def make_distribution(tmp_path: Path) -> Callable[..., Path]:
    """`make_distribution(name, source, **entry_points)`: an installed package, for PYTHONPATH; returns its folder."""
    site = tmp_path / "site"

    def make(name: str, source: str, **entry_points: str) -> Path:
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{key} = {value}" for key, value in (entry_points or {name: name}).items()]
        (info / "entry_points.txt").write_text("\n".join(["[lapd]", *lines, ""]))
        return site

    return make


@pytest.fixture(scope="session")
def small_adapter(once: Callable[..., Path], warm_lapd: Callable[..., Any]) -> Path:
    """An INFP adapter after eight float32 steps on the embedded model, trained once for all tests."""

    def train(folder: Path) -> None:
        result = warm_lapd("train", "INFP", *SMALL, "-o", folder / "INFP")
        assert result.returncode == 0, result.stderr

    return once("adapters", train) / "INFP"


@pytest.fixture
def model_server(warm: Warm, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """`transformers serve` with the embedded model on loopback: (base URL, model name); its log is `server.log`."""
    from lapd.models.base import resolve_base

    folder = resolve_base("smollm2").path
    with serving(warm, tmp_path, str(folder)) as url:
        yield url, str(folder)


@contextmanager
def serving(warm: Warm, folder: Path, *models: str) -> Iterator[str]:
    """`transformers serve`, run in `folder`, where its log is `server.log`: its base URL.

    It serves `models` only; without any, whatever model folder is asked for.
    """
    pytest.importorskip("fastapi", reason="the extra `dev` brings it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--host", "127.0.0.1", "--port", port, "--device", "cpu", "--dtype", "float32")
    log = folder / "server.log"
    process = warm.start(SCRIPT.with_name("transformers"), "serve", *models, *options, cwd=folder, log=log)
    try:
        _wait_until_up(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.communicate()


def _wait_until_up(process: Fork, address: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
