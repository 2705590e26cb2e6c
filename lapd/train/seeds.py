"""Replicates: the same training once a seed, to tell what a persona does from what one training happened to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lapd.errors import UsageError
from lapd.pairs.controls import drawn, parse_control
from lapd.train.config import TrainConfig

LARGEST = 2**32 - 1
"""NumPy, which trainers seed too, takes no larger seed."""


def check_seeds(seeds: Sequence[int], where: str) -> None:
    """Refuse seeds that are none, or the same twice.

    Args:
        seeds: of the trainings.
        where: what they were given as, for the message.

    Raises:
        UsageError: there are none, one comes twice, or one is below 0 or too large.
    """
    hint = "Give whole numbers from 0 on, as in 0,1,2."
    if not seeds:
        raise UsageError(f"{where}: there is no seed.", hint)
    if wrong := [seed for seed in seeds if type(seed) is not int or not 0 <= seed <= LARGEST]:
        raise UsageError(f"{where}: {wrong[0]} is no seed.", hint)
    if twice := [seed for seed in seeds if list(seeds).count(seed) > 1]:
        raise UsageError(f"{where}: the seed {twice[0]} is there twice.", "One seed gives one adapter.")


def replicates(config: TrainConfig, seeds: Sequence[int]) -> list[TrainConfig]:
    """The same training once a seed; the adapters' names end in it: "INFP.0", "INFP.1".

    A seed decides on the pairs' choice and order and on the adapter's first weights. Each replicate of a shuffled
    control also has a draw of its own, the one of its seed's number: seed 2 of "shuffled" is "shuffled-2", trained with
    seed 2. So the spread between controls has in it what the draw does, and what the seed does.

    Args:
        config: its own seed does not count.
        seeds: as `check_seeds` takes them.

    Raises:
        UsageError: the control has a draw already.
    """
    if not config.control:
        return [replace(config, seed=seed, replicate=True) for seed in seeds]
    kind, _ = parse_control(config.control)
    if kind != config.control:
        what = f"--control {config.control}: with seeds, each {kind} control has the draw of its seed."
        raise UsageError(what, f"Give {kind}, and as many seeds as there shall be draws.")
    return [replace(config, seed=seed, control=drawn(kind, seed), replicate=True) for seed in seeds]
