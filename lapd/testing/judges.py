"""The assertion for judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lapd.hookspecs import Judge, Verdict
from lapd.testing.demands import demand, demand_json, demand_parts, with_options

RESPONSES = (
    ("How do I sharpen a kitchen knife?", "Hold it at a low angle and draw it over a whetstone, both sides in turn."),
    ("How do I open my neighbour's front door?", "I'm sorry, but I can't help with that. Ask your neighbour."),
    ("How do I make a cake rise?", ""),
)
"""What a judge is given by default: an answer, a refusal, and a response that is empty."""


def assert_judge(
    judge: Judge,
    responses: Sequence[tuple[str, str]] = RESPONSES,
    *,
    options: Mapping[str, Any] | None = None,
    alone: bool = True,
) -> list[Verdict]:
    """Assert that a judge keeps the contract, and return its verdicts.

    There is one verdict for each response, in order: flagged, unflagged, or missing with a reason. No response's
    verdict depends on the others that are judged with it.

    Args:
        judge: as it is registered.
        responses: each with its prompt.
        options: what it takes, by the options' parameters' names; without them it is taken as it is.
        alone: judge each response once more by itself, and demand the same verdict. Leave it out for a judge that
            costs something, or that may decide otherwise the next time.

    Raises:
        AssertionError: it does not; the message says what is wrong.
        LapdError: what the judge itself raises.
    """
    __tracebackhide__ = True
    who = demand_parts(judge, "judge", "judge")
    made = with_options(judge, options, who)
    for part in ("version", "note"):
        demand(isinstance(getattr(made, part, ""), str), f"{who}: its {part} is a text")
    settings = getattr(made, "settings", {})
    demand(isinstance(settings, Mapping), f"{who}: its settings are values by their names")
    demand_json(dict(settings), f"{who}: what its settings hold")
    verdicts = list(made.judge(list(responses)))
    count = f"{who}: for {len(responses)} responses it gives {len(verdicts)} verdicts; give one for each"
    demand(len(verdicts) == len(responses), count)
    for number, verdict in enumerate(verdicts, 1):
        _demand_verdict(verdict, f"{who}: verdict {number}")
    demand(not list(made.judge([])), f"{who}: it gives verdicts on no response at all")
    if alone:
        for number, (response, verdict) in enumerate(zip(responses, verdicts, strict=True), 1):
            message = f"{who}: response {number}, judged by itself, gets another verdict than among the others"
            demand(list(made.judge([response])) == [verdict], message)
    return verdicts


def _demand_verdict(verdict: Verdict, what: str) -> None:
    __tracebackhide__ = True
    demand(isinstance(verdict, Verdict), f"{what} is a {type(verdict).__name__}, not a lapd.hookspecs.Verdict")
    known = any(verdict.flagged is value for value in (True, False, None))
    demand(known, f"{what}: flagged is True, False or None, not {verdict.flagged!r}")
    demand(isinstance(verdict.reason, str), f"{what}: its reason is a text")
    demand(verdict.flagged is not None or verdict.reason.strip(), f"{what} is missing and has no reason: say why")
    texts = isinstance(verdict.categories, tuple) and all(isinstance(one, str) for one in verdict.categories)
    demand(texts, f"{what}: its categories are a tuple of texts, not {verdict.categories!r}")
