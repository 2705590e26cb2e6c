"""Drafts for a trait pack: what a model is asked for each axis, and what a usable draft is.

A draft is a row of a contrast corpus or an item of a questionnaire, in the form that the pack has them in; somebody has
to read it before it becomes part of the pack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lapd.data import FOLDER
from lapd.plugins.dialogues import Prompts, Question, Schema, text_object, usable

from lapd.files.whole import digest_json
from lapd.personas import Axis, axis_tag
from lapd.traits.pack import TraitPack

SHIPPED = FOLDER / "prompts" / "draft"

RESPONSE, STATEMENT = (25, 60), (5, 20)
"""The fewest and most words of a response, as `lapd data check` wants them, and of a statement."""

ABOUT = (1, 80)
"""Of what a draft is about: a situation, or a facet."""

RATIO = 1.25
"""The longer of two texts has at most so many times the words of the other."""

TRAIN = 8 / 11
"""The share of the situations that go to the split `train`: 40 of 55."""

WANTED_WORDS = ("30 to 36", "36 to 42", "42 to 48", "48 to 54")


@dataclass(frozen=True)
class Drafts:
    """All that determines what is asked.

    Attributes:
        pack: whose axes.
        model: the model's name.
        seed: of the sampling.
        situations: how many an axis.
        items: of the questionnaire, how many an axis.
        prompts: the templates.
    """

    pack: TraitPack
    model: str
    seed: int
    situations: int
    items: int
    prompts: Prompts

    def questions(self) -> list[tuple[Axis, Question]]:
        """What is asked, and for which axis, the axes in turn."""
        asked = []
        for n in range(max(self.situations, self.items)):
            for axis in self.pack.axes:
                asked += [(axis, self._situation(axis, n))] if n < self.situations else []
                asked += [(axis, self._item(axis, n))] if n < self.items else []
        return asked

    def made(self, axis: Axis, question: Question, answer: Mapping[str, str]) -> dict[str, Any]:
        """The draft that the answer to a question is, as the pack's file has it."""
        make = self._as_row if question.stage == "situation" else self._as_item
        return make(axis, question.index, answer)

    def _situation(self, axis: Axis, n: int) -> Question:
        values = {"words": WANTED_WORDS[n % len(WANTED_WORDS)]}
        schema = text_object("situation", "first", "second")
        return self._question(axis, "situation", n, values, schema, 500, self._reader(axis, "situation", RESPONSE))

    def _item(self, axis: Axis, n: int) -> Question:
        schema = text_object("facet", "first", "second")
        return self._question(axis, "item", n, {}, schema, 200, self._reader(axis, "facet", STATEMENT))

    def _question(
        self,
        axis: Axis,
        stage: str,
        n: int,
        values: Mapping[str, Any],
        schema: Schema,
        length: int,
        read: Callable[[dict[str, Any]], Any],
    ) -> Question:
        topics = self.prompts.lines("topics")
        first, second = axis.poles
        told = {"first": first, "second": second, "topic": topics[n % len(topics)], "number": n + 1, **values}
        messages = [
            {"role": "system", "content": self.prompts.render("writer")},
            {"role": "user", "content": self.prompts.render(stage, **told)},
        ]
        parts = [axis.id, [vars(pole) for pole in axis.poles], self.model, self.seed, self.prompts.digest, stage, n]
        return Question(digest_json(parts)[:16], stage, n, messages, schema, length, read)

    def _reader(self, axis: Axis, about: str, bounds: tuple[int, int]) -> Callable[[dict[str, Any]], dict[str, str]]:
        """Checks a draft: lengths, their ratio, and that no pole is named."""
        named = re.compile(rf"\b({'|'.join(re.escape(code) for code in axis.ends if len(code) > 1)})\b", re.IGNORECASE)

        def read(answer: dict[str, Any]) -> dict[str, str]:
            texts = [usable(answer[key], bounds) for key in ("first", "second")]
            counts = [len(text.split()) for text in texts]
            if max(counts) > RATIO * min(counts):
                raise ValueError(f"the two texts have {counts[0]} and {counts[1]} words")
            if texts[0] == texts[1]:
                raise ValueError("the two texts are the same")
            what = usable(answer[about], ABOUT)
            if any(len(code) > 1 for code in axis.ends) and (found := named.search(" ".join([*texts, what]))):
                raise ValueError(f"a text names a pole ({found[0]})")
            return {about: what, "first": texts[0], "second": texts[1]}

        return read

    def _as_row(self, axis: Axis, n: int, answer: Mapping[str, str]) -> dict[str, Any]:
        """A draft of a situation as a row of the corpus."""
        return {
            "id": f"{axis_tag(axis.id).lower()}-{n + 1:03}",
            "axis": axis.id,
            "lang": "en",
            "split": "train" if n < round(TRAIN * self.situations) else "heldout",
            "topic": self.prompts.lines("topics")[n % len(self.prompts.lines("topics"))],
            "situation": answer["situation"],
            "responses": dict(zip(axis.ends, (answer["first"], answer["second"]), strict=True)),
        }

    def _as_item(self, axis: Axis, n: int, answer: Mapping[str, str]) -> dict[str, Any]:
        """A draft of an item as the questionnaire has it."""
        return {
            "id": f"a-{axis_tag(axis.id).lower()}-{n + 1:02}",
            "axis": axis.id,
            "facet": answer["facet"],
            "statements": dict(zip(axis.ends, (answer["first"], answer["second"]), strict=True)),
        }
