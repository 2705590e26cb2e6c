"""The grader `openai`: a model behind any OpenAI-compatible endpoint reads a response beside two descriptions.

Each dimension is asked apart. On half of the responses, told by their digests, the second description comes first and
the scale is turned back, so that a liking for either place shows (`lapd judge check`) and cancels in the means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from lapd.plugins.deciding import Decisions, Kind, Options, Question, instructions, material, no_model, read_object

from lapd.files.whole import digest_json
from lapd.hookspecs import Dimension, Grade, Grader
from lapd.options import build_options, declared_by
from lapd.pluginmanager import hookimpl

if TYPE_CHECKING:
    from lapd.endpoints.replies import Reply

SCHEMA = {
    "type": "object",
    "properties": {"grade": {"type": "number", "minimum": 0, "maximum": 100}, "reason": {"type": "string"}},
    "required": ["grade", "reason"],
    "additionalProperties": False,
}

AXIS, COHERENCE = "axis", "coherence"
"""The instructions for a trait pack's axis, and those for how an answer hangs together."""


def _dump(grade: Grade) -> list[Any]:
    return [grade.value, grade.reason]


def _load(kept: list[Any]) -> Grade:
    return Grade(*kept)


def _without(reason: str) -> Grade:
    return Grade(None, reason)


GRADE = Kind("grader openai", "grades", _dump, _load, _without)


class OpenAIGrader:
    name = "openai"
    description = "a model behind an OpenAI-compatible endpoint, by the descriptions of both poles"
    options: Sequence[click.Option] = declared_by(Options)
    version = "1"

    def __init__(self, decisions: Decisions[Grade] | None = None) -> None:
        self.decisions = decisions

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.decisions.settings(instructions(AXIS) + instructions(COHERENCE)) if self.decisions else {}

    @property
    def note(self) -> str:
        return self.decisions.note if self.decisions else ""

    def configure(self, options: Mapping[str, Any]) -> Grader:
        made = build_options(Options, options, GRADE.who, "docs/tasks.md")
        return OpenAIGrader(Decisions(GRADE, made))

    def turned(self, prompt: str, response: str, dimension: Dimension) -> bool:
        """Whether the second description comes first."""
        return int(digest_json([dimension.name, prompt, response])[:2], 16) % 2 == 1

    def grade(self, batch: Sequence[tuple[str, str]], dimension: Dimension) -> Iterator[Grade]:
        """Grades in order; while one is waited for, those behind it are asked for too."""
        if self.decisions is None:
            raise no_model(GRADE.who, "--grader-option")
        return self.decisions.all([self._question(*pair, dimension) for pair in batch])

    def _question(self, prompt: str, response: str, dimension: Dimension) -> Question[Grade]:
        turned = self.turned(prompt, response, dimension)
        first, second = (dimension.low, dimension.high) if turned else (dimension.high, dimension.low)
        rubric = instructions(AXIS if dimension.pack else COHERENCE)
        system = rubric.replace("{first}", first.strip()).replace("{second}", second.strip())
        messages = [{"role": "system", "content": system}, {"role": "user", "content": material(prompt, response)}]
        key = digest_json([self.name, self.version, dict(self.settings), system, prompt, response])
        return Question(key, messages, SCHEMA, partial(_read, turned=turned, decided_on=(prompt, response)))


def _read(reply: Reply, turned: bool, decided_on: tuple[str, ...]) -> Grade:
    """The grade that a model wrote, towards the dimension's first description.

    Raises:
        ValueError: it wrote none, or several that differ.
    """
    answer = read_object(reply, SCHEMA, lambda one: one["grade"], *decided_on)
    value = float(answer["grade"])
    if not 0 <= value <= 100:
        raise ValueError(f"{value:g} is not from 0 to 100")
    return Grade(100 - value if turned else value, answer["reason"].strip()[:500])


@hookimpl
def lapd_register_graders(register: Callable[[Grader], None]) -> None:
    register(OpenAIGrader())
