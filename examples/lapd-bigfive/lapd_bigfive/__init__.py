"""The Big Five as a trait pack for LAPD. The folder `traits` is the pack; everything else follows from its data."""

from collections.abc import Callable
from pathlib import Path

from lapd import hookimpl
from lapd.hookspecs import TraitFolder

TRAITS = Path(__file__).resolve().parent / "traits"


@hookimpl
def lapd_register_traits(register: Callable[[TraitFolder], None]) -> None:
    register(TraitFolder("bigfive", TRAITS))
