"""Registers the trait pack that LAPD ships: the four axes of the MBTI, with the sixteen types."""

from collections.abc import Callable

from lapd.data import FOLDER

from lapd.hookspecs import TraitFolder
from lapd.pluginmanager import hookimpl


@hookimpl
def lapd_register_traits(register: Callable[[TraitFolder], None]) -> None:
    register(TraitFolder("mbti", FOLDER / "traits" / "mbti"))
