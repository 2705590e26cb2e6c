"""The public Python interface: which names there are, where they come from, and what importing them costs."""

import importlib
import inspect

import pytest
from conftest import run_python

import lapd


def test_the_public_names_are_these():
    assert lapd.__all__ == [
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


@pytest.mark.parametrize("name", [n for n in lapd.__all__ if n != "__version__"])
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(lapd, name)
    assert thing is getattr(importlib.import_module(lapd._HOME[name]), name)
    if name != "hookimpl":
        assert thing.__name__ == name
        assert inspect.getdoc(thing)


def test_the_version_is_the_installed_one():
    assert lapd.__version__ == importlib.metadata.version("lapd")


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match=r"module 'lapd' has no attribute 'nothing'"):
        lapd.nothing  # noqa: B018


def test_importing_lapd_pulls_in_nothing_heavy():
    code = "import sys, lapd; lapd.get_persona('INFP'); print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    loaded = set(eval(done.stdout))
    assert "lapd" in loaded
    assert not loaded & {"torch", "transformers", "trl", "peft", "lm_eval", "datasets", "scipy", "matplotlib"}
    assert "numpy" not in set(eval(run_python(code.replace("lapd.get_persona('INFP'); ", "")).stdout))
