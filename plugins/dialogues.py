"""From a persona to pairs by way of dialogues: what a model is asked at each stage, and what a usable answer is.

    seed      a feature, a sketch or a situation of the persona, in some setting and company
    dialogue  exchanges between a user and the persona that grow from the seed; each gives a prompt and a chosen reply
    reply     what another voice says to the same prompt: the rejected reply

Every question's wording is a template file that a user can replace.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from lapd.data import FOLDER

from lapd.errors import DataError, UsageError
from lapd.files.whole import digest_json
from lapd.names import all_personas, axes, get_persona, opposite_pole, single_poles
from lapd.personas import Persona
from lapd.reasoning import answer_of

SHIPPED = FOLDER / "prompts" / "generate"
SEEDS = ("features", "sketches", "situations")
WORDS = (5, 150)
"""The fewest and most words of a turn that is of use."""

GIVEAWAY = re.compile(r"\b(MBTI|Myers.Briggs|intro[-\s]?verts?\w*|extr[ao][-\s]?verts?\w*|[EI][SN][TF][JP])\b", re.I)

Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def text_object(*names: str) -> Schema:
    """Of an object with these texts."""
    return _object(**{name: {"type": "string"} for name in names})


SEED_SCHEMA = text_object("seed")
REPLY_SCHEMA = text_object("reply")


def dialogue_schema(exchanges: int) -> Schema:
    """Of a dialogue with so many exchanges of two turns."""
    turn = _object(speaker={"type": "string", "enum": ["user", "persona"]}, text={"type": "string"})
    return _object(turns={"type": "array", "items": turn, "minItems": 2 * exchanges, "maxItems": 2 * exchanges})


class Prompts:
    """The template files: LAPD's own, and those that replace them.

    Args:
        folder: files with the names of LAPD's own, any of them; None for none.
        shipped: the folder of LAPD's own.

    Raises:
        UsageError: there is no such folder, or it replaces nothing, or holds another text file.
        DataError: a file is no template, or one of the lists is empty.
    """

    def __init__(self, folder: Path | None = None, shipped: Path = SHIPPED) -> None:
        files = {path.stem: path for path in shipped.glob("*.txt")}
        if folder is not None:
            own = {path.stem: path for path in folder.glob("*.txt")}
            known = f"It may replace any of {', '.join(f'{name}.txt' for name in sorted(files))}."
            if not own:
                raise UsageError(f"{folder} holds no prompt.", known)
            if unknown := sorted(own.keys() - files.keys()):
                raise UsageError(f"{own[unknown[0]]} is no prompt of this generator's.", known)
            files |= own
        self._files = files
        self._texts = {name: _read(path) for name, path in sorted(files.items())}
        self.digest = digest_json(self._texts)

    def lines(self, name: str) -> list[str]:
        """The lines of a list, without blank ones."""
        lines = [line.strip() for line in self._texts[name].splitlines() if line.strip()]
        if not lines:
            raise DataError(self._files[name], "there is no line in this list.")
        return lines

    def render(self, name: str, **values: Any) -> str:
        """A template with its variables filled in."""
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=StrictUndefined)
        try:
            return environment.from_string(self._texts[name]).render(**values).strip()
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            raise DataError(self._files[name], f"this template cannot be filled in ({error}).", line) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(path, f"this is not UTF-8 text ({error.reason}).") from None


@dataclass(frozen=True)
class Question:
    """What is asked for at one stage.

    Attributes:
        id: the same whenever the same is asked for.
        stage: "seed", "dialogue" or "reply".
        index: of the dialogue, or for a reply of the pair.
        messages: of the chat.
        schema: of the answer.
        length: at most so many tokens in the answer.
        read: the part of an answer that is of use; raises ValueError with what it lacks.
    """

    id: str
    stage: str
    index: int
    messages: list[dict[str, str]]
    schema: Schema
    length: int
    read: Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Study:
    """All that determines what is asked, besides the model's own answers.

    Attributes:
        persona: whose replies are chosen.
        voice: whose replies are rejected; None for the plain assistant.
        model: the model's name.
        seed: of the settings' order and the sampling.
        prompts: the templates.
        seeds_from: one of `SEEDS`.
        exchanges: of a dialogue; each gives one pair.
        temperature: of the sampling; None for the server's own.
    """

    persona: Persona
    voice: Persona | None
    model: str
    seed: int
    prompts: Prompts
    seeds_from: str
    exchanges: int
    temperature: float | None

    def ident(self, stage: str, index: int) -> str:
        """The item's id: 16 hex digits of the digest of what determines it."""
        parts: list[Any] = [_definition(self.persona), self.seed, self.prompts.digest, self.model, self.temperature]
        parts += [self.seeds_from, self.exchanges, stage, index]
        return digest_json([*parts, _definition(self.voice)] if stage == "reply" else parts)[:16]

    def occasion(self, dialogue: int) -> dict[str, str]:
        """The setting and the company of a dialogue: each combination once before any comes again."""
        occasions = list(product(self.prompts.lines("settings"), self.prompts.lines("companions")))
        random.Random(f"{self.seed}").shuffle(occasions)
        setting, companion = occasions[dialogue % len(occasions)]
        return {"setting": setting, "companion": companion}

    def seed_question(self, dialogue: int) -> Question:
        """Asks for what a dialogue grows from."""
        text = self.prompts.render(self.seeds_from, persona=self.persona, **self.occasion(dialogue))
        return self._question("seed", dialogue, "writer", text, SEED_SCHEMA, 300, lambda answer: usable(answer["seed"]))

    def dialogue_question(self, dialogue: int, seed: str) -> Question:
        """Asks for a dialogue; its answer is a list of [prompt, chosen]."""
        values = {"persona": self.persona, "seed": seed, "exchanges": self.exchanges, **self.occasion(dialogue)}
        text = self.prompts.render("dialogue", **values)
        schema = dialogue_schema(self.exchanges)
        return self._question("dialogue", dialogue, "writer", text, schema, 300 + 300 * self.exchanges, read_exchanges)

    def reply_question(self, pair: int, prompt: str, chosen: str) -> Question:
        """Asks the other voice for its reply to a prompt."""

        def read(answer: dict[str, Any]) -> str:
            reply = usable(answer["reply"])
            if reply == chosen:
                raise ValueError("the rejected reply is the chosen one")
            return reply

        text = self.prompts.render("reply", voice=self.voice, prompt=prompt, words=len(chosen.split()))
        return self._question("reply", pair, "voice", text, REPLY_SCHEMA, 400, read)

    def _question(
        self, stage: str, index: int, system: str, text: str, schema: Schema, length: int, read: Callable[..., Any]
    ) -> Question:
        speaker = self.prompts.render(system, voice=self.voice, persona=self.persona)
        messages = [{"role": "system", "content": speaker}, {"role": "user", "content": text}]
        return Question(self.ident(stage, index), stage, index, messages, schema, length, read)


def _definition(persona: Persona | None) -> Any:
    return persona and [persona.code, persona.poles, persona.description, persona.system_prompt]


def usable(text: str, bounds: tuple[int, int] = WORDS) -> str:
    """A text without reasoning and without white space around it.

    Args:
        text: as the model wrote it.
        bounds: the fewest and most words of one that is of use.

    Raises:
        ValueError: it is too short, too long, or names a type or trait.
    """
    text = answer_of(text).strip()
    words = len(text.split())
    if not bounds[0] <= words <= bounds[1]:
        raise ValueError(f"a text has {words} words, not {bounds[0]} to {bounds[1]}")
    if found := GIVEAWAY.search(text):
        raise ValueError(f"a text names a type or a trait ({found[0]})")
    if not text.isprintable() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a text holds half a character")
    return text


def read_exchanges(answer: dict[str, Any]) -> list[list[str]]:
    """A dialogue's exchanges, each [what the user says, what the persona answers].

    Raises:
        ValueError: the speakers do not take turns, a text is unusable, or the user repeats themselves.
    """
    turns = answer["turns"]
    if [turn["speaker"] for turn in turns] != ["user", "persona"] * (len(turns) // 2):
        raise ValueError("the user and the persona do not take turns")
    texts = [usable(turn["text"]) for turn in turns]
    if len(set(texts)) < len(texts):
        raise ValueError("a turn is repeated")
    return [list(exchange) for exchange in zip(texts[::2], texts[1::2], strict=True)]


def rejected_voice(persona: Persona, rejected: str) -> Persona | None:
    """Who says the rejected replies.

    Args:
        persona: who says the chosen ones.
        rejected: "opposite", "base" (the plain assistant) or "flip:AXIS".

    Raises:
        UsageError: it is none of these, or the persona takes no side there.
    """
    if rejected == "base":
        return None
    kind, _, axis = rejected.partition(":")
    if (kind, axis) != ("opposite", "") and (kind != "flip" or axis not in axes()):
        raise UsageError(
            f"--rejected {rejected!r} is not known.", "Give opposite, base, or flip:AXIS, such as flip:E/I."
        )
    flipped = set(persona.poles) if kind == "opposite" else {axis} & set(persona.poles)
    if not flipped:
        side = f"on {axis}" if axis else "on any axis"
        raise UsageError(f"{persona.code} takes no side {side}, so nothing is its opposite.", "Give --rejected base.")
    poles = {a: opposite_pole(pole) if a in flipped else pole for a, pole in persona.poles.items()}
    return of_poles(poles)


def of_poles(poles: dict[str, str]) -> Persona:
    """The persona with these poles: a type or a single pole where that is one, else one put together from its poles."""
    known = (*all_personas().values(), *single_poles().values())
    if whole := next((persona for persona in known if persona.poles == poles), None):
        return whole
    parts = [get_persona(pole) for pole in poles.values()]
    between = "" if all(len(part.code) == 1 for part in parts) else "-"
    code = between.join(part.code for part in parts)
    return Persona(
        code,
        " and ".join(part.name for part in parts),
        poles,
        " ".join(part.description for part in parts),
        " ".join(part.system_prompt for part in parts),
    )
