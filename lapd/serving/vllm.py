"""The command that has vLLM serve a base model with adapters beside it, each under its name."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import Adapter, check_base
from lapd.adapters.kinds import is_plain_lora
from lapd.adapters.merge import VLLM_RANKS, vllm_rank
from lapd.errors import ModelError, UsageError
from lapd.models.base import BaseModel
from lapd.models.intact import object_in

VARIABLE = "LAPD_VLLM"
"""The environment variable that names vLLM's command."""

ON_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": "3600",
}
"""What vLLM is told on a machine without a GPU, where the environment says nothing: gigabytes for keys and values; to
leave its threads to the system, since it may find no cores to bind them to; and not to give a step up after 300 s,
which it may take where others compute beside it."""

HEAD = "lm_head"
"""The layer over the vocabulary. vLLM's CPU backend ends when it is asked for a prompt's likelihoods while this one can
take adapters, which it can by default; LAPD's adapters leave it alone."""


def find_vllm(named: str | None = None) -> str:
    """vLLM's command: the one that is named, the environment's `LAPD_VLLM`, Python's own neighbour, or the shell's.

    Raises:
        UsageError: there is none.
    """
    wanted = named or os.environ.get(VARIABLE)
    if wanted:
        if found := shutil.which(str(Path(wanted).expanduser())):
            return found
        raise UsageError(f"There is no command {wanted!r}.", f"Name vLLM's with --command or {VARIABLE}.")
    beside = Path(sys.executable).with_name("vllm")
    if found := shutil.which(str(beside)) or shutil.which("vllm"):
        return found
    hint = (
        "pip install vllm in an environment of its own (docs/engine.md has the one for a CPU), "
        "and name it: --command ENVIRONMENT/bin/vllm."
    )
    raise UsageError("vLLM is not installed: there is no command vllm.", hint)


def has_gpu() -> bool:
    """Whether this machine has a GPU that its system knows; found without torch."""
    return any(Path("/proc/driver/nvidia/gpus").glob("*")) or Path("/dev/kfd").exists()


def vllm_environment(environment: Mapping[str, str], gpu: bool) -> dict[str, str]:
    """The environment that vLLM is started in: everything is on this disk, so that it need not look elsewhere."""
    return {"HF_HUB_OFFLINE": "1", **({} if gpu else ON_CPU), **environment}


def vllm_command(
    vllm: str,
    base: BaseModel,
    adapters: Sequence[Adapter],
    port: int,
    dtype: str | None,
    options: Sequence[str] = (),
    gpu: bool = False,
) -> list[str]:
    """The command, word by word.

    Args:
        vllm: from `find_vllm`.
        base: served under its name.
        adapters: served beside it, each under its own.
        port: on loopback.
        dtype: of the computing; by default float32 without a GPU, else that of the base's files.
        options: more of vLLM's, as "name" or "name=value".
        gpu: whether it computes on one.

    Raises:
        ModelError: an adapter is of another base, or of a kind that vLLM does not take.
        UsageError: an adapter has a strength, or is called as another model is.
    """
    for adapter in adapters:
        _check_can_be_served(adapter, base)
    names = [base.name, *(adapter.name for adapter in adapters)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"Two models are called {twice!r}.", "Give NAME=FOLDER.")
    command = [vllm, "serve", str(base.path), "--served-model-name", base.name]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", dtype or ("auto" if gpu else "float32")]
    if adapters:
        ranks = [vllm_rank(_settings(adapter)["r"]) or 0 for adapter in adapters]
        command += ["--enable-lora", "--max-lora-rank", str(max(ranks)), "--max-loras", str(len(adapters))]
        command += ["--lora-modules", *(f"{adapter.name}={adapter.path}" for adapter in adapters)]
        command += _layers(adapters)
    for option in options:
        name, _, value = option.partition("=")
        command += [f"--{name.lstrip('-')}", *([value] if value else [])]
    return command


def _check_can_be_served(adapter: Adapter, base: BaseModel) -> None:
    check_base(adapter, base)
    if adapter.strength != 1:
        hint = "Write the scaled adapter with `lapd merge`, and serve that."
        raise UsageError(f"{adapter.label}: a server has an adapter at the strength that it loaded.", hint)
    if not is_plain_lora(adapter):
        hint = "Bake it into its base with `lapd merge --into-base`, and serve that."
        raise ModelError(f"{adapter.name} is no plain LoRA, and vLLM takes no other.", hint)
    if vllm_rank(rank := _settings(adapter)["r"]) is None:
        hint = "Bake it into its base with `lapd merge --into-base`, and serve that."
        raise ModelError(f"{adapter.name} has rank {rank}, and vLLM takes none above {VLLM_RANKS[-1]}.", hint)


def _settings(adapter: Adapter) -> dict[str, Any]:
    return dict(object_in(adapter.path / "adapter_config.json"))


def _layers(adapters: Sequence[Adapter]) -> list[str]:
    """The option that names the layers of which adapters have an update, where their settings list them."""
    targets: list[Any] = [_settings(adapter).get("target_modules") for adapter in adapters]
    if not all(isinstance(target, list) for target in targets):
        return []  # a pattern: which layers it means is PEFT's to tell
    layers = sorted({layer for target in targets for layer in target})
    return [] if HEAD in layers else ["--lora-target-modules", *layers]
