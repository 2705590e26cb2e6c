"""lm-eval's own tasks, groups and tags: their names at once, and all that lm-eval knows of them after ten seconds."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lapd.catalog.sources import filters_in, names_in
from lapd.catalog.task import TaskInfo
from lapd.files.quiet import quiet_libraries

OF_LM_EVAL = "lm-eval "
"""How the version of a task of lm-eval's own begins."""

SIDE = "cost"
"""Where these stand: they measure what a model can do, which a persona may cost."""


def index_lm_eval(name: str, *, quiet: bool) -> Mapping[str, Any]:
    """lm-eval's own tasks, groups and tags by name, as its `Entry`s; indexed once a process, which takes ten seconds.

    Args:
        name: why they are needed.
        quiet: do not say so.
    """
    if not quiet and not _index_lm_eval.cache_info().currsize:
        print(f"{name} is none of LAPD's tasks: indexing lm-eval's own ...", file=sys.stderr)
    return _index_lm_eval()


@cache
def _index_lm_eval() -> Mapping[str, Any]:
    with quiet_libraries():
        from lm_eval.tasks import TaskManager

        return dict(TaskManager().task_index)


def info_of_lm_eval(name: str, entry: Any) -> TaskInfo:
    """What is known of a task of lm-eval's own: what it is asked for, and which version of lm-eval has it."""
    from lm_eval import __version__

    config = entry.cfg or {}
    return TaskInfo(
        name,
        Path(entry.yaml_path).parent,
        None,
        f"{OF_LM_EVAL}{__version__}",
        "one of lm-eval's own tasks",
        side=SIDE,
        kind=config.get("output_type", ""),
        filters=filters_in(config),
        named=names_in(config),
    )


_NAME = rb"""["']?([^\s"'#,:\[\]{}]+)["']?"""
_NAMING_LINES = (
    re.compile(rb"""^[\s-]*["']?(?:task|group|tag)["']?\s*:\s*""" + _NAME, re.MULTILINE),
    re.compile(rb"""^\s*-\s*""" + _NAME + rb"""\s*$""", re.MULTILINE),
    re.compile(rb"""^tag\s*:\s*\[\s*""" + _NAME, re.MULTILINE),
)
"""Lines that name a task, a group or a tag, or an item of a list of them."""


def names_in_lm_eval() -> frozenset[str]:
    """What lm-eval's own YAML files call a task, a group or a tag, and some names more.

    They are read in a second, once a process, where indexing takes ten.
    """
    ours = stock_folder()
    return _names_below(ours.parent, ours) if ours else frozenset()


@cache
def _names_below(folder: Path, ours: Path) -> frozenset[str]:
    # The files that theirs include have any name, most without a suffix.
    files = (p for p in folder.rglob("*") if p.suffix in (".yaml", "") and ours not in p.parents and p.is_file())
    texts = (path.read_bytes() for path in files)
    found = (name for text in texts for lines in _NAMING_LINES for name in lines.findall(text))
    return frozenset(name.decode(errors="replace") for name in found)


def stock_folder() -> Path | None:
    """Where a stock lm-eval looks for LAPD's tasks: among its own. A wheel brings them there, `make setup` links them.

    None without lm-eval; the folder need not exist.
    """
    spec = importlib.util.find_spec("lm_eval")
    return Path(spec.origin).parent / "tasks" / "lapd" if spec and spec.origin else None
