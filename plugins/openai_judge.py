"""The judge `openai`: a model behind any OpenAI-compatible endpoint reads a rubric and gives a structured verdict.

It decides whether a response is harmful, and where a task asks for that, whether it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from lapd.plugins.deciding import Decisions, Kind, Options, Question, instructions, material, no_model, read_object

from lapd.files.whole import digest_json
from lapd.hookspecs import Judge, Verdict
from lapd.judges.harms import CATEGORIES
from lapd.judges.questions import HARM, REFUSAL
from lapd.options import build_options, declared_by
from lapd.pluginmanager import hookimpl

if TYPE_CHECKING:
    from lapd.endpoints.replies import Reply

SCHEMA = {
    "type": "object",
    "properties": {
        "flagged": {"type": "boolean"},
        "categories": {"type": "array", "items": {"type": "string", "enum": list(CATEGORIES)}},
        "reason": {"type": "string"},
    },
    "required": ["flagged", "categories", "reason"],
    "additionalProperties": False,
}

REFUSED = {
    "type": "object",
    "properties": {"refused": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["refused", "reason"],
    "additionalProperties": False,
}
"""Of the reply on refusals."""

RUBRICS = {HARM: "harmlessness", REFUSAL: "refusal"}
"""What the model is told, by the question."""

# Functions with names: a judge may be pickled, for workers.


def _dump(verdict: Verdict) -> list[Any]:
    return [verdict.flagged, verdict.reason, list(verdict.categories)]


def _load(kept: list[Any]) -> Verdict:
    return Verdict(kept[0], kept[1], tuple(kept[2]))


def _without(reason: str) -> Verdict:
    return Verdict(None, reason)


VERDICT = Kind("judge openai", "verdicts", _dump, _load, _without)


class OpenAIJudge:
    name = "openai"
    description = "a model behind an OpenAI-compatible endpoint, by a rubric of 14 categories; refusals too"
    options: Sequence[click.Option] = declared_by(Options)
    version = "2"

    def __init__(self, decisions: Decisions[Verdict] | None = None, question: str = HARM) -> None:
        self.decisions, self.question = decisions, question

    @property
    def settings(self) -> Mapping[str, Any]:
        if self.decisions is None:
            return {}
        asked = {} if self.question == HARM else {"question": self.question}
        return self.decisions.settings(instructions(RUBRICS[self.question])) | asked

    @property
    def note(self) -> str:
        return self.decisions.note if self.decisions else ""

    def configure(self, options: Mapping[str, Any]) -> Judge:
        made = build_options(Options, options, VERDICT.who, "docs/tasks.md")
        return OpenAIJudge(Decisions(VERDICT, made))

    def for_question(self, question: str) -> Judge | None:
        """The judge on another question, within the same ceilings; None for one that is not known."""
        return OpenAIJudge(self.decisions, question) if question in RUBRICS else None

    def judge(self, batch: Sequence[tuple[str, str]]) -> Iterator[Verdict]:
        """Verdicts in order; while one is waited for, those behind it are asked for too."""
        if self.decisions is None:
            raise no_model(VERDICT.who, "--judge-option")
        identity = [self.name, self.version, dict(self.settings)]
        return self.decisions.all([self._asked(identity, *pair) for pair in batch])

    def _asked(self, identity: list[Any], prompt: str, response: str) -> Question[Verdict]:
        key = digest_json([*identity, prompt, response])
        system = {"role": "system", "content": instructions(RUBRICS[self.question])}
        messages = [system, {"role": "user", "content": material(prompt, response)}]
        schema, read = (SCHEMA, _read) if self.question == HARM else (REFUSED, _read_refused)
        return Question(key, messages, schema, partial(read, decided_on=(prompt, response)))


def _read(reply: Reply, decided_on: tuple[str, ...]) -> Verdict:
    return read_reply(reply, *decided_on)


def _read_refused(reply: Reply, decided_on: tuple[str, ...]) -> Verdict:
    """Whether the response refuses, as `read_reply` reads harm.

    Raises:
        ValueError: the model wrote no verdict, or several that differ.
    """
    answer = read_object(reply, REFUSED, lambda one: one["refused"], *decided_on)
    return Verdict(answer["refused"], answer["reason"].strip()[:500])


def read_reply(reply: Reply, *judged: str) -> Verdict:
    """The verdict that a model wrote.

    Args:
        reply: the model's.
        judged: the texts that it was given. A verdict that stands in one of them was quoted, or dictated by it.

    Raises:
        ValueError: it wrote none, several that differ, or one that contradicts itself; the message says what is wrong,
            in a few words.
    """
    answer = read_object(reply, SCHEMA, lambda one: (one["flagged"], set(one["categories"])), *judged)
    categories = tuple(dict.fromkeys(answer["categories"]))
    if categories and not answer["flagged"]:
        raise ValueError("it names categories of harm and does not flag")
    return Verdict(answer["flagged"], answer["reason"].strip()[:500], categories)


@hookimpl
def lapd_register_judges(register: Callable[[Judge], None]) -> None:
    register(OpenAIJudge())
