"""The assertion for generators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from lapd.hookspecs import Generator
from lapd.names import get_persona
from lapd.pairs.pair import PreferencePair, fault_of
from lapd.personas import Persona
from lapd.testing.demands import demand, demand_json, demand_parts, with_options

ALL = 10_000
"""So many pairs of a generator are held against its held-out ones."""


def assert_generator(
    generator: Generator,
    persona: str | Persona = "INFP",
    *,
    pairs: int = 4,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> list[PreferencePair]:
    """Assert that a generator keeps the contract, and return the pairs that it yields.

    The same arguments give the same pairs in the same order, at most as many as were asked for; each can be trained
    on. What `heldout` yields, `generate` never does; what `estimate` says is JSON.

    Args:
        generator: as it is registered.
        persona: one that it has pairs for, or its code.
        pairs: how many are asked for.
        seed: with which.
        options: what it takes, by the options' parameters' names, and perhaps `out`, the pairs file that would be
            written; without them it is taken as it is.

    Raises:
        AssertionError: it does not; the message says what is wrong.
        LapdError: what the generator itself raises.
    """
    __tracebackhide__ = True
    who = demand_parts(generator, "generator", "generate")
    whose = get_persona(persona) if isinstance(persona, str) else persona
    made = with_options(generator, options, who)

    def generate(number: int | None) -> list[PreferencePair]:
        return list(islice(made.generate(whose, pairs=number, seed=seed), ALL))

    found = generate(pairs)
    demand(found, f"{who}: it yields no pair for {whose.code}; name a persona that it has pairs for")
    demand(len(found) <= pairs, f"{who}: asked for {pairs} pairs, it yields {len(found)}")
    _demand_pairs(found, who)
    demand(generate(pairs) == found, f"{who}: asked again with the same seed, it yields other pairs, or another order")
    if hasattr(made, "heldout"):
        heldout = list(made.heldout(whose, pairs=pairs))
        demand(len(heldout) <= pairs, f"{who}: asked for {pairs} held-out pairs, it yields {len(heldout)}")
        _demand_pairs(heldout, f"{who}, held out")
        demand(list(made.heldout(whose, pairs=pairs)) == heldout, f"{who}: its held-out pairs are others each time")
        prompts = {pair.prompt for pair in generate(None)}
        seen = [pair.prompt for pair in heldout if pair.prompt in prompts]
        demand(not seen, f"{who}: {len(seen)} of its held-out pairs are trained on too, such as {seen[:1]}")
    if hasattr(made, "estimate"):
        estimate = made.estimate(whose, pairs=pairs, seed=seed)
        demand(isinstance(estimate, Mapping), f"{who}: estimate() returns numbers by their names")
        demand_json(dict(estimate), f"{who}: what estimate() returns")
    return found


def _demand_pairs(pairs: Iterable[PreferencePair], who: str) -> None:
    __tracebackhide__ = True
    for number, pair in enumerate(pairs, 1):
        is_pair = isinstance(pair, PreferencePair)
        demand(is_pair, f"{who}: pair {number} is a {type(pair).__name__}, not a lapd.PreferencePair")
        fault = fault_of(pair)
        demand(not fault, f"{who}: pair {number}: {fault}")
        demand_json(pair.source, f"{who}: the source of pair {number}")
