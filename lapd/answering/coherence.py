"""What a cell's written answers are like: `lapd.record.coherence` on its documents, and what the base makes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lapd.reasoning import answer_of, opened_by
from lapd.record.coherence import of_answer, over_answers, texts_of

Samples = list[dict[str, Any]]

Read = tuple[int, float]
"""A text's tokens, and its log-likelihood (nats) by each of them."""

SERVED = "a server answered, and the base's weights are not here"
"""Why there are no tokens and no likelihoods."""


class Reader(Protocol):
    """Who reads answers."""

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Read | None] | None:
        """How likely the base without adapter finds each text behind its context; None where it is not here."""
        ...


def measured(
    samples: Samples, reader: Reader, without: Mapping[str, str] | None = None
) -> tuple[Samples, dict[str, str]]:
    """The documents, those that are answered in writing with what the answers are like.

    Args:
        samples: as they are kept.
        reader: of the answers; not asked where all that it tells is left out.
        without: measures that are left out, each with the reason.

    Returns:
        The documents; and of each measure that all of them lack, why.
    """
    answers = [(n, *answer) for n, sample in enumerate(samples) for answer in texts_of(sample)]
    if not answers:
        return samples, {}
    asked = [(text, samples[n]["arguments"][request]) for n, request, text, _ in answers]
    pairs = [_behind(str(arguments[0]), text) for text, arguments in asked]
    left_out = dict(without or {})
    asks = not {"tokens", "base_logprob"} <= left_out.keys()
    read = reader.read([pair for pair in pairs if pair]) if asks else []
    found = iter(read or ())
    by_document: dict[int, list[dict[str, float]]] = defaultdict(list)
    for (n, _, text, reason), pair, (_, arguments) in zip(answers, pairs, asked, strict=True):
        known = next(found, None) if pair else None
        measures = of_answer(text, reason or _ending(known, arguments)) | _by_base(known)
        by_document[n].append({name: value for name, value in measures.items() if name not in left_out})
    made = [
        {**sample, "coherence": over_answers(by_document[n])} if n in by_document else sample
        for n, sample in enumerate(samples)
    ]
    return made, left_out if read is not None else {"tokens": SERVED, "base_logprob": SERVED, **left_out}


def _behind(prompt: str, text: str) -> tuple[str, str] | None:
    """What an answer stands behind, the prompt and any reasoning, and the answer; None for one without a word."""
    answer, whole = answer_of(text), text.removeprefix(opened_by(prompt))
    start = whole.rfind(answer)
    return (prompt + whole[:start], answer) if answer.strip() and start >= 0 else None


def _by_base(known: Read | None) -> dict[str, float]:
    return {"tokens": float(known[0]), "base_logprob": known[1]} if known else {}


def _ending(known: Read | None, arguments: Sequence[Any]) -> str:
    """Why an answer ended of which nobody said it: it is as long as the limit allows, or shorter; "" if not known."""
    limit = next((settings.get("max_gen_toks") for settings in arguments[1:] if isinstance(settings, dict)), None)
    return ("length" if known[0] >= limit else "stop") if known and limit else ""
