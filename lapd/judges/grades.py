"""Grades: the dimensions that there are, choosing a grader, having it grade, and grades as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lapd.errors import DataError, PluginError
from lapd.hookspecs import Dimension, Grade, Grader
from lapd.judges.judge import Batch, decided, judge_identity, one_each
from lapd.names import axes, pack_of
from lapd.options import configured, declared, read_options
from lapd.pluginmanager import lookup
from lapd.reasoning import ALL_REASONING

COHERENCE = Dimension(
    "coherence",
    high="The answer hangs together: it fits what was said, every sentence can be followed, and it comes to an end.",
    low="The answer falls apart: it repeats itself, breaks off, contradicts itself, or has nothing to do with what was "
    "said.",
)

EMPTY = "the response is empty"


def axis_dimension(axis: str) -> Dimension:
    """The dimension of an axis, towards its first pole.

    Raises:
        UnknownNameError: there is no such axis.
    """
    pack = pack_of(axis)
    first, second = axes()[axis].poles
    return Dimension(axis, first.description, second.description, pack.name)


def dimension(name: str) -> Dimension:
    """The dimension of that name: coherence, or an axis.

    Raises:
        UnknownNameError: there is no such axis.
    """
    return COHERENCE if name == COHERENCE.name else axis_dimension(name)


def choose_grader(name: str, options: Sequence[str] = (), base: str | None = None) -> Grader:
    """The grader registered under `name`.

    Args:
        name: as a plugin registered it.
        options: "key=value" texts.
        base: what its option `base` is, if it has one and none is given.

    Raises:
        UnknownNameError: nobody registered it.
        UsageError: an option is no "key=value", or the grader does not take it.
    """
    given = read_options(options, "--grader-option")
    if base and any(option.name == "base" for option in declared(lookup("graders", name))):
        given = {"base": base, **given}
    grader: Grader = configured("graders", name, given)
    return grader


def refusal(grader: Grader, about: Dimension) -> str | None:
    """Why a grader does not grade on a dimension; None where it does."""
    refuses = getattr(grader, "refuses", None)
    return refuses(about) if refuses else None


def grader_identity(grader: Grader, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """What a grader's grades on these dimensions depend on, as JSON."""
    about = getattr(grader, "about", lambda one: {"high": one.high, "low": one.low})
    return judge_identity(grader) | {"dimensions": {one.name: dict(about(one)) for one in dimensions}}


def grades_of(grader: Grader, batch: Batch, about: Dimension) -> Iterator[Grade]:
    """The grades of (prompt, response)s on a dimension, in order as they come, on what stands behind any reasoning.

    An empty response, and one of reasoning alone, has none.

    Raises:
        PluginError: there are more or fewer, something else came, or a value is not from 0 to 100.
    """
    wrong = f"The grader {grader.name} did not give one grade for each of {{}} responses."

    def grade(answers: Batch) -> Iterator[Grade]:
        said = [pair for pair in answers if pair[1].strip()]
        given = one_each(grader.grade(said, about), said, Grade, wrong)
        for _, answer in answers:
            yield _checked(grader, next(given)) if answer.strip() else Grade(None, EMPTY)
        yield from given

    return (one or Grade(None, ALL_REASONING) for one in decided(batch, grade))


def _checked(grader: Grader, grade: Grade) -> Grade:
    if grade.value is None:
        return grade if grade.reason else Grade(None, "the grader gave no reason")
    if not isinstance(grade.value, (int, float)) or not 0 <= grade.value <= 100:
        raise PluginError(f"The grader {grader.name} gave the grade {grade.value!r}, which is not from 0 to 100.")
    return grade


def grade_record(grade: Grade) -> dict[str, Any]:
    """A grade as JSON."""
    return {"value": grade.value, "reason": grade.reason}


def read_grade(path: object, line: int, row: Any) -> Grade:
    """The grade in a JSON object.

    Raises:
        DataError: it has no value from 0 to 100, nor null and a reason.
    """
    value = row.get("value", "") if isinstance(row, Mapping) else ""
    if value is None and row.get("reason"):
        return Grade(None, str(row["reason"]))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100 or math.isnan(value):
        what = "a grade is an object with a `value` from 0 to 100, or null and its `reason`."
        raise DataError(path, what, line)
    return Grade(float(value), str(row.get("reason") or ""))
