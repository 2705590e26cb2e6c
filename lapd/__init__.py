"""Give a language model a personality, then find out what it cost and what it bought.

What is named in `__all__` is the public Python interface. It is imported on first use, so that `import lapd` is
instant and torch is only met where it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lapd._version import __version__

if TYPE_CHECKING:
    from lapd.adapters import resolve_adapter
    from lapd.compare import compare_run
    from lapd.errors import LapdError
    from lapd.evaluate import evaluate_arms
    from lapd.evaluate.plan import Arm, Settings, make_arms
    from lapd.experiment import run_experiment
    from lapd.models import resolve_base
    from lapd.pairs import PreferencePair, read_pairs, write_pairs
    from lapd.personas import Persona, get_persona
    from lapd.pluginmanager import hookimpl
    from lapd.report import write_report
    from lapd.train import train_adapter
    from lapd.train_config import TrainConfig

_HOME = {
    "Arm": "lapd.evaluate.plan",
    "LapdError": "lapd.errors",
    "Persona": "lapd.personas",
    "PreferencePair": "lapd.pairs",
    "Settings": "lapd.evaluate.plan",
    "TrainConfig": "lapd.train_config",
    "compare_run": "lapd.compare",
    "evaluate_arms": "lapd.evaluate",
    "get_persona": "lapd.personas",
    "hookimpl": "lapd.pluginmanager",
    "make_arms": "lapd.evaluate.plan",
    "read_pairs": "lapd.pairs",
    "resolve_adapter": "lapd.adapters",
    "resolve_base": "lapd.models",
    "run_experiment": "lapd.experiment",
    "train_adapter": "lapd.train",
    "write_pairs": "lapd.pairs",
    "write_report": "lapd.report",
}

__all__ = [
    "Arm",
    "LapdError",
    "Persona",
    "PreferencePair",
    "Settings",
    "TrainConfig",
    "__version__",
    "compare_run",
    "evaluate_arms",
    "get_persona",
    "hookimpl",
    "make_arms",
    "read_pairs",
    "resolve_adapter",
    "resolve_base",
    "run_experiment",
    "train_adapter",
    "write_pairs",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'lapd' has no attribute {name!r}")
