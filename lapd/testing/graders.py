"""The assertion for graders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lapd.hookspecs import Dimension, Grade, Grader
from lapd.judges.grades import axis_dimension
from lapd.testing.demands import demand, demand_json, demand_parts, with_options

RESPONSES = (
    ("You have a free evening.", "I call everybody I know, and by eight the flat is full."),
    ("You have a free evening.", "I read by the window and am glad that nobody rings."),
    ("A friend asks for advice.", "Let us go through it point by point."),
)
"""What a grader is given by default."""


def assert_grader(
    grader: Grader,
    dimension: Dimension | None = None,
    responses: Sequence[tuple[str, str]] = RESPONSES,
    *,
    options: Mapping[str, Any] | None = None,
    alone: bool = True,
) -> list[Grade]:
    """Assert that a grader keeps the contract, and return its grades.

    There is one grade for each response, in order: from 0 to 100, or none with a reason. No response's grade depends on
    the others that are graded with it.

    Args:
        grader: as it is registered.
        dimension: what is graded; by default the MBTI's E/I.
        responses: each with its prompt.
        options: what it takes, by the options' parameters' names; without them it is taken as it is.
        alone: grade each response once more by itself, and demand the same grade. Leave it out for a grader that costs
            something, or that may decide otherwise the next time.

    Raises:
        AssertionError: it does not; the message says what is wrong.
        LapdError: what the grader itself raises.
    """
    __tracebackhide__ = True
    who = demand_parts(grader, "grader", "grade")
    made = with_options(grader, options, who)
    about = dimension or axis_dimension("E/I")
    for part in ("version", "note"):
        demand(isinstance(getattr(made, part, ""), str), f"{who}: its {part} is a text")
    demand_json(dict(getattr(made, "settings", {})), f"{who}: what its settings hold")
    if refuses := getattr(made, "refuses", None):
        why = refuses(about)
        demand(why is None, f"{who}: it refuses {about.name}: {why}")
    grades = list(made.grade(list(responses), about))
    count = f"{who}: for {len(responses)} responses it gives {len(grades)} grades; give one for each"
    demand(len(grades) == len(responses), count)
    for number, grade in enumerate(grades, 1):
        demand(
            isinstance(grade, Grade), f"{who}: grade {number} is a {type(grade).__name__}, not a lapd.hookspecs.Grade"
        )
        known = grade.value is None or 0 <= grade.value <= 100
        demand(known, f"{who}: grade {number} is from 0 to 100, or None, not {grade.value!r}")
        demand(grade.value is not None or grade.reason.strip(), f"{who}: grade {number} is missing and has no reason")
    if alone:
        for number, (response, grade) in enumerate(zip(responses, grades, strict=True), 1):
            message = f"{who}: response {number}, graded by itself, gets another grade than among the others"
            demand(list(made.grade([response], about)) == [grade], message)
    return grades
