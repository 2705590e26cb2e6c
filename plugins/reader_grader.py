"""The grader `reader`: the base model reads a response as somebody's of either pole. It needs no network and no key.

The score of a response is how much likelier it is behind a description of the first pole than behind one of the second
(nats a token), the mean over wordings and over whether the person or what they are told comes first. A logistic
regression on responses of the trait pack's training split makes a probability of the score. The reader is the base
model, whatever model is graded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from lapd.errors import ModelError, UsageError
from lapd.files.progress import bar
from lapd.files.whole import cache_dir, digest_json
from lapd.hookspecs import Dimension, Grade, Grader
from lapd.names import find_pack
from lapd.options import build_options, declared_by
from lapd.pluginmanager import hookimpl

if TYPE_CHECKING:
    from lapd.files.kept import KeptValues
    from lapd.models.base import BaseModel

WORDINGS = (
    ("Somebody is like this: {pole}", "They are told: {prompt}", "They answer:"),
    ("A person who answers below: {pole}", "What is said to that person: {prompt}", "The answer:"),
)
"""What stands before the response: the person, what they are told, and the cue; the first two in either order."""

CHUNK = 16
"""Responses that are read at once, and kept."""

MOST_ROWS, MOST_TOKENS, LONGEST_ROW = 8, 4096, 1024


@dataclass(frozen=True)
class Options:
    """Settings of the grader.

    Attributes:
        base: the model that reads: smollm2 (embedded), a Hugging Face id, or a folder; for a run, its own base.
        calibration: training situations of an axis whose responses calibrate its grades.
    """

    base: str = "smollm2"
    calibration: int = 40

    def __post_init__(self) -> None:
        if self.calibration < 10:
            raise UsageError(f"grader reader: calibration must be at least 10, not {self.calibration}.")


class ReaderGrader:
    name = "reader"
    description = "the base model reads responses as somebody's of either pole; offline"
    options: Sequence[click.Option] = declared_by(Options)
    version = "1"
    note = ""

    def __init__(self, given: Options | None = None) -> None:
        self._given = given or Options()

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"base": _base(self._given.base).digest, "calibration": self._given.calibration}

    def configure(self, options: Mapping[str, Any]) -> Grader:
        return ReaderGrader(build_options(Options, options, f"grader {self.name}", "docs/tasks.md"))

    def refuses(self, dimension: Dimension) -> str | None:
        if not dimension.pack:
            return "it is calibrated on a trait pack, and no pack has it"
        return None if self._training(dimension) else f"the trait pack {dimension.pack} has no training situations"

    def about(self, dimension: Dimension) -> Mapping[str, Any]:
        """What the grades depend on: both descriptions, and the texts that they are calibrated on."""
        parts = [dimension.high, dimension.low, WORDINGS, self._training(dimension)]
        return {"texts": digest_json(parts)[:16]}

    def grade(self, batch: Sequence[tuple[str, str]], dimension: Dimension) -> Iterator[Grade]:
        """Grades in order, a chunk of responses at a time."""
        from scipy.special import expit

        reader = Reader(_base(self._given.base), self.version)
        training = self._training(dimension)
        scores = []
        with bar(len(training), f"calibrate {self.name} on {dimension.name}", "response") as progress:
            for score in reader.scores([(prompt, response) for prompt, response, _ in training], dimension):
                scores.append(score)
                progress.update()
        slope, intercept = _calibrated(scores, [first for *_, first in training])
        for score in reader.scores(batch, dimension):
            yield Grade(round(100 * float(expit(slope * score + intercept)), 2), f"{score:+.4f} nats a token")

    def _training(self, dimension: Dimension) -> list[tuple[str, str, bool]]:
        """Prompt, response and whether it is of the first pole, for both poles of some training situations."""
        pack = find_pack(dimension.pack)
        first, second = pack.ends[dimension.name]
        situations = [one for one in pack.situations("train") if one.axis == dimension.name]
        some = situations[:: max(1, len(situations) // self._given.calibration)][: self._given.calibration]
        return [(one.situation, one.responses[pole], pole == first) for one in some for pole in (first, second)]


def _calibrated(scores: Sequence[float], first: Sequence[bool]) -> tuple[float, float]:
    """Slope and intercept of the log-odds of the first pole in the score."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1e6, max_iter=1000).fit([[score] for score in scores], first)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


@cache
def _base(name: str) -> BaseModel:
    from lapd.models import resolve_base

    return resolve_base(name)


@cache
def _loaded(base: BaseModel) -> tuple[Any, Any, Any]:
    """The model, its tokenizer, and which rows it takes packed.

    Raises:
        ModelError: it does not take packed rows.
    """
    from lapd.plugins.packing import Packing

    from lapd.models import load_base

    model, tokenizer = load_base(base)
    packing = Packing(model)
    if not packing.takes([]):
        raise ModelError(
            f"The grader reader cannot read with {base.name}: it takes no packed rows.", "Give another base."
        )
    return model, tokenizer, packing


class Reader:
    """A base model that reads. What it has read once is kept in LAPD's cache.

    Args:
        base: the model.
        version: of the way of reading.
    """

    def __init__(self, base: BaseModel, version: str) -> None:
        self._base, self._version = base, version

    def scores(self, texts: Sequence[tuple[str, str]], dimension: Dimension) -> Iterator[float]:
        """How much likelier each response is from the first pole, in nats a token."""
        from lapd.files.kept import KeptValues

        with KeptValues(cache_dir() / "graders" / "reader.sqlite", "scores") as kept:
            for start in range(0, len(texts), CHUNK):
                yield from self._kept_scores(kept, texts[start : start + CHUNK], dimension)

    def _kept_scores(self, kept: KeptValues, texts: Sequence[tuple[str, str]], dimension: Dimension) -> list[float]:
        same = [self._version, self._base.digest, WORDINGS, dimension.high, dimension.low]
        keys = [digest_json([*same, *text]) for text in texts]
        known = kept.get(keys)
        new = [(key, text) for key, text in zip(keys, texts, strict=True) if key not in known]
        if new:
            read = self._read([text for _, text in new], dimension)
            kept.put(made := dict(zip((key for key, _ in new), read, strict=True)))
            known = {**known, **made}
        return [float(known[key]) for key in keys]

    def _read(self, texts: Sequence[tuple[str, str]], dimension: Dimension) -> list[float]:
        import torch

        from lapd.packed.forward import SharedPrefix, pack, token_logprobs
        from lapd.packed.layout import make_batches, make_rows

        model, tokenizer, packing = _loaded(self._base)
        asked = [(framed, text) for text in texts for framed in framings(*text, dimension)]
        ids = [(self._ids(tokenizer, context), self._ids(tokenizer, words)) for (context, words), _ in asked]
        rows = make_rows(ids, model.config.get_text_config().max_position_embeddings, LONGEST_ROW)
        if not packing.takes(rows):
            raise ModelError(
                f"The grader reader cannot read such long texts with {self._base.name}: it takes no such rows packed.",
                "Give another base.",
            )
        device, prefix, found = next(model.parameters()).device, SharedPrefix(model), [0.0] * len(ids)
        with torch.inference_mode():
            for batch in make_batches(rows, MOST_ROWS, MOST_TOKENS):
                packed = pack(batch.rows, device, model.dtype, len(batch.prefix), model.config.get_text_config())
                logprobs, _ = token_logprobs(model, packed, prefix.cache(batch.prefix, len(batch.rows)))
                sums = [float(part.sum()) for part in logprobs.cpu().double().split(packed.lengths)]
                requests = [some for row in batch.rows for some in row.requests]
                for total, some in zip(sums, requests, strict=True):
                    for request in some:
                        found[request] = total / len(ids[request][1])
        differences = [first - second for first, second in zip(found[::2], found[1::2], strict=True)]
        each = len(differences) // len(texts)
        return [sum(differences[start : start + each]) / each for start in range(0, len(differences), each)]

    @staticmethod
    def _ids(tokenizer: Any, text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def framings(prompt: str, response: str, dimension: Dimension) -> Iterator[tuple[str, str]]:
    """What the model reads, context and words: behind the first pole's description and the second's, by turns."""
    for person, told, cue in WORDINGS:
        for turned in (False, True):
            for pole in (dimension.high, dimension.low):
                parts = [person.format(pole=pole.strip()), told.format(prompt=prompt)]
                yield "\n\n".join([*(parts[::-1] if turned else parts), cue]), f" {response.strip()}"


@hookimpl
def lapd_register_graders(register: Callable[[Grader], None]) -> None:
    register(ReaderGrader())
