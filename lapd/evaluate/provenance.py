"""What a result was made with: what `lapd reproduce` and a reader years later need to know.

All of it goes into `result.json`; docs/files.md lists the fields.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from lapd._version import __version__
from lapd.adapters.adapter import Adapter
from lapd.adapters.whole import WHOLE, WholeModel
from lapd.evaluate.served import ServedModel
from lapd.files.whole import canonical_json
from lapd.record.cells import Cell
from lapd.record.journal import Journal

PACKAGES = ("torch", "transformers", "peft", "trl", "lm-eval", "tokenizers")

GIT_SECONDS = 5
"""A repository that takes longer to answer, on a slow file system, is left out."""


def provenance(
    cell: Cell, data_dir: str | None, questionnaire: str | None, samples: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Versions, machine, repository, digests of what went in, and the command.

    Args:
        cell: that was evaluated.
        data_dir: a folder with benchmark data.
        questionnaire: somebody else's questionnaire.
        samples: what is kept of each document.
    """
    adapter = cell.arm.adapter
    return {
        **versions(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "hardware": hardware(),
        "threads": _threads(),
        "git": git_state(),
        "digests": {
            "base": cell.base.digest,
            "adapter": adapter.digest if adapter else None,
            "strength": adapter.strength if adapter else None,
            **_task_digests(cell, data_dir, questionnaire),
            "prompts": prompts_digest(samples),
        },
        **({"differs": list(adapter.differs)} if isinstance(adapter, WholeModel) else {}),
        "seeds": {"python, numpy, torch, few-shot": cell.settings.seed},
        "process": {"host": socket.gethostname(), "id": os.getpid(), "command": command_line(sys.argv)},
    }


_known_digests: dict[tuple[str, str | None, str | None], dict[str, str | None]] = {}


def _task_digests(cell: Cell, data_dir: str | None, questionnaire: str | None) -> dict[str, str | None]:
    """Of the task's files and data, read once for all arms: the cell's own digest tells that they are the same."""
    key = cell.task_digest, data_dir, questionnaire
    if key not in _known_digests:
        _known_digests[key] = cell.task.digests(data_dir, questionnaire)
    return _known_digests[key]


def versions() -> dict[str, Any]:
    """Of LAPD, Python and the packages that do the work."""
    return {"lapd": __version__, "python": platform.python_version()} | {p: metadata.version(p) for p in PACKAGES}


def inputs(
    cell: Cell, data_dir: str | None, questionnaire: str | None, batch_size: int, date: str | None = None
) -> dict[str, Any]:
    """Where everything came from: what the cell's identity knows by digest only, and `lapd reproduce` must find."""
    adapter, root = cell.arm.adapter, data_dir or os.environ.get("LAPD_DATA_DIR")
    base: dict[str, Any] = {"name": cell.base.name, "path": str(cell.base.path), "upstream": cell.base.upstream}
    base["files"] = cell.base.files
    if isinstance(cell.base, ServedModel):
        base = {"name": cell.base.name, "base_url": cell.base.endpoint.base_url}
        base |= {"tokenizer": str(cell.base.tokenizer)} if cell.base.tokenizer else {}
    return {
        "base": base,
        "adapter": adapter and _adapter(adapter),
        "persona": asdict(cell.arm.persona) if cell.arm.persona else None,
        "data_dir": _absolute(root) if cell.task.publisher else None,
        "questionnaire": _absolute(questionnaire) if cell.task.questionnaire else None,
        **({"pairs": str(cell.task.asked)} if cell.task.asked else {}),
        **({"group": cell.task.through} if cell.task.through else {}),
        "batch_size": batch_size,
        "date": date,
    }


def _adapter(adapter: Adapter) -> dict[str, Any]:
    where = {"name": adapter.name, "path": str(adapter.path), "strength": adapter.strength}
    return where | ({"kind": WHOLE} if isinstance(adapter, WholeModel) else {})


def _absolute(path: str | None) -> str | None:
    return str(Path(path).expanduser().absolute()) if path else None


def prompts_digest(samples: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 over all that the model was given, as rendered: two cells with the same one asked the same."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(canonical_json(sample["arguments"]).encode() + b"\n")
    return digest.hexdigest()


@cache
def hardware() -> dict[str, Any]:
    """The processor, its cores and the GPUs; found without torch, so that a plan can tell what was measured here."""
    gpus = Path("/proc/driver/nvidia/gpus").glob("*/information")
    models = [line.partition(":")[2].strip() for f in gpus for line in _lines(f) if line.startswith("Model:")]
    cpus = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return {"cpu": cpus[0] if cpus else platform.processor(), "cores": os.cpu_count(), "gpus": sorted(models)}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _threads() -> int | None:
    """How many threads torch computes with; None where it is not loaded."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch else None


@cache
def git_state() -> dict[str, Any] | None:
    """The commit of the repository that the working directory is in, and whether tracked files differ from it.

    None where there is no repository or no git.
    """
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return None
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(*arguments: str) -> str | None:
    # Without optional locks, so that nothing in the repository is touched or waited for.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, env=environment, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


_SECRET = re.compile(r"(api[_-]?key|secret|password)=.*", re.IGNORECASE | re.DOTALL)


def command_line(arguments: Sequence[str]) -> str:
    """The command as it could be pasted into a shell; what looks like a secret is left out."""
    return shlex.join(_SECRET.sub(r"\1=...", word) for word in (Path(arguments[0]).name, *arguments[1:]))


def work(samples: Sequence[Mapping[str, Any]], journal: Journal, tokens: int) -> dict[str, int]:
    """How much there was to do: what the time that it took is to be divided by.

    Args:
        samples: what is kept of each document.
        journal: of the cell, with its batches counted.
        tokens: that the model computed or would have, in the unit of the progress bar.
    """
    requests = sum(len(sample["arguments"]) for sample in samples)
    batches = journal.taken + journal.computed
    return {"requests": requests, "tokens": tokens, "batches": batches, "computed": journal.computed}


def utc(seconds: float) -> str:
    """A time as it is written into records."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
