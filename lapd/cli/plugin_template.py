"""A new plugin package to begin with: the template that is installed with LAPD, under another name."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from lapd.errors import UsageError
from lapd.files.whole import atomic_folder

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")

LEFT_OUT = re.compile(r"build|dist|.*\.egg-info|__pycache__|\..*_cache")
"""What building and testing leave in a checkout's template."""


def new_plugin(name: str, folder: Path) -> None:
    """Copy the template into `folder`, whole or not at all, and rename everything in it.

    Args:
        name: of the plugin and of all that it registers; with or without "lapd-" before it, which the package has.
        folder: that is not there yet.

    Raises:
        UsageError: the name cannot be one, something is registered under it, or the folder is there.
    """
    from lapd.data import FOLDER

    words = _words(name)
    if folder.exists():
        raise UsageError(f"{folder} is there already.", "Give another -o.")
    template = FOLDER / "templates" / "plugin"
    with atomic_folder(folder) as temporary:
        for path in sorted(template.rglob("*")):
            where = path.relative_to(template)
            if path.is_file() and not any(LEFT_OUT.fullmatch(part) for part in where.parts):
                target = temporary / _renamed(str(where), words)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_renamed(path.read_text(encoding="utf-8"), words), encoding="utf-8")


def _words(name: str) -> dict[str, str]:
    """What stands in the template, and what replaces it."""
    short = re.sub(r"^lapd[-_]", "", name)
    if not NAME.fullmatch(short) or keyword.iskeyword(short):
        raise UsageError(f"{name!r} cannot name a plugin.", "Use letters, digits and dashes, beginning with a letter.")
    parts = re.split(r"[-_]", short)
    module = "_".join(parts).lower()
    _refuse_taken(module)
    return {
        "plugin_template": module,
        "plugin-template": module.replace("_", "-"),
        "PluginTemplate": "".join(part[0].upper() + part[1:] for part in parts),
    }


def _refuse_taken(name: str) -> None:
    from lapd.catalog.find import tasks
    from lapd.pluginmanager import plugins, registry

    known = {info.name: "plugin" for info in plugins().infos}
    known |= {one: kind.removesuffix("s") for kind in ("generators", "judges") for one in registry(kind)}
    known |= dict.fromkeys(tasks(), "task")
    if kind := {one.lower(): kind for one, kind in known.items()}.get(name):
        raise UsageError(f"There is a {kind} {name!r} already.", "Give another name: two of one name stop LAPD.")


def _renamed(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text
