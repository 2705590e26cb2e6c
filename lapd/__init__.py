"""Give a language model a personality, then find out what it cost and what it bought.

What is named in `__all__` is the public Python interface. It is imported on first use, so that `import lapd` is
instant and torch is only met where it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lapd._version import __version__

if TYPE_CHECKING:
    from lapd.adapters.adapter import resolve_adapter
    from lapd.audit.callback import AuditCallback
    from lapd.compare.comparisons import compare_run
    from lapd.errors import LapdError
    from lapd.evaluate.plan import make_arms
    from lapd.experiment.arms import evaluate_arms
    from lapd.experiment.run import run_experiment
    from lapd.export.frames import load_run
    from lapd.models.base import resolve_base
    from lapd.names import get_persona
    from lapd.pairs.pair import PreferencePair, read_pairs, write_pairs
    from lapd.personas import Persona
    from lapd.pluginmanager import hookimpl
    from lapd.record.cells import Arm, Settings
    from lapd.report.page import write_report
    from lapd.train.config import TrainConfig
    from lapd.train.training import train_adapter

_HOME = {
    "Arm": "lapd.record.cells",
    "AuditCallback": "lapd.audit.callback",
    "LapdError": "lapd.errors",
    "Persona": "lapd.personas",
    "PreferencePair": "lapd.pairs.pair",
    "Settings": "lapd.record.cells",
    "TrainConfig": "lapd.train.config",
    "compare_run": "lapd.compare.comparisons",
    "evaluate_arms": "lapd.experiment.arms",
    "get_persona": "lapd.names",
    "hookimpl": "lapd.pluginmanager",
    "load_run": "lapd.export.frames",
    "make_arms": "lapd.evaluate.plan",
    "read_pairs": "lapd.pairs.pair",
    "resolve_adapter": "lapd.adapters.adapter",
    "resolve_base": "lapd.models.base",
    "run_experiment": "lapd.experiment.run",
    "train_adapter": "lapd.train.training",
    "write_pairs": "lapd.pairs.pair",
    "write_report": "lapd.report.page",
}

__all__ = [
    "Arm",
    "AuditCallback",
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
    "load_run",
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
