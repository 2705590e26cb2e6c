"""Recipes: settings for training under a name, kept as data.

A recipe is a file `data/recipes/NAME.yaml`: a `description`, and `settings` of `lapd.train.config.TrainConfig`. A
setting that is given beside the recipe replaces the recipe's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar

from lapd.errors import UnknownNameError

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """The content of a recipe's file.

    Attributes:
        description: whose settings they are.
        settings: values for fields of `TrainConfig`, by name.
    """

    description: str
    settings: dict[str, Any]


def read_recipe(path: Path) -> Recipe:
    """A recipe from its file.

    Raises:
        DataError: the file is missing or is no recipe.
    """
    from lapd.files.settings import build, read_yaml

    return build(Recipe, read_yaml(path), path)


@cache
def recipes() -> Mapping[str, Recipe]:
    """The shipped recipes by name."""
    from lapd.data import FOLDER

    return {path.stem: read_recipe(path) for path in sorted((FOLDER / "recipes").glob("*.yaml"))}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    known = recipes()
    if name not in known:
        raise UnknownNameError("recipe", name, known, f"Known: {', '.join(known)}.")
    return known[name]


def describe(recipe: Recipe) -> str:
    """Its settings in one line."""
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in recipe.settings.items()}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def takes_recipe(cls: type[T]) -> type[T]:
    """Class decorator: `cls(recipe=NAME, ...)` takes what the call does not give from the recipe.

    Only the call itself tells a setting that was given from one that was left at its default, hence no `__post_init__`.
    """
    plain = cls.__init__

    @wraps(plain)
    def init(self: T, *args: Any, **kwargs: Any) -> None:
        if (name := kwargs.get("recipe")) is not None:
            given = inspect.signature(plain).bind_partial(self, *args, **kwargs).arguments
            kwargs |= {key: value for key, value in get_recipe(name).settings.items() if key not in given}
        plain(self, *args, **kwargs)

    cls.__init__ = init  # type: ignore[assignment]
    return cls
