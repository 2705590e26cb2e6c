"""One document of a task: what was asked, and what an arm answered, in writing or by likelihood."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lapd.items.visible import visible
from lapd.record.endings import ending

LOOPS = 10
"""So many words in a row that only say again what stands before them are a loop: a refrain is shorter."""


@dataclass(frozen=True)
class Answer:
    """What one arm answered to one document, once.

    Attributes:
        text: in writing; None for likelihoods.
        logprobs: of each option, nats.
        chosen: the likeliest option's place; None where there is nothing to choose from.
        end: how the answer was ended from without: "cut off"; "" where the model ended it.
        loop: its longest loop in words, if it is one (`LOOPS`); else 0.
        verdict: the judge's: `flagged` (None if it is missing), `reason`, `categories`; None without a judge.
        grades: rows of {grader, dimension, value, reason}.
    """

    text: str | None = None
    logprobs: tuple[float, ...] = ()
    chosen: int | None = None
    end: str = ""
    loop: int = 0
    verdict: Mapping[str, Any] | None = None
    grades: Sequence[Mapping[str, Any]] = ()


def answers_of(sample: Mapping[str, Any], by_length: bool = False) -> list[Answer]:
    """Every answer of a sample: those of one request in writing, else one made of all requests' likelihoods.

    Args:
        sample: as a cell keeps it.
        by_length: whether the option is chosen whose likelihood is the largest a character, as `acc_norm` does.
    """
    responses = sample["responses"]
    if not responses or not responses[0]:
        return []
    if isinstance(responses[0][0], str):
        loop = int(sample.get("coherence", {}).get("longest_loop", 0))
        more = {
            "end": ending(sample),
            "loop": loop if loop >= LOOPS else 0,
            "verdict": sample.get("verdict"),
            "grades": sample.get("grades", ()),
        }
        return [Answer(visible(text), **more) for text in responses[0] if isinstance(text, str)]
    places = _asked_alone(sample)
    logprobs = tuple(_logprob(responses[n][0]) for n in places)
    lengths = [max(1, len(option)) if by_length else 1 for option in options_of(sample)]
    scores = [value / length for value, length in zip(logprobs, lengths, strict=True)]
    return [Answer(logprobs=logprobs, chosen=scores.index(max(scores)) if len(scores) > 1 else None)]


def _logprob(response: Any) -> float:
    return float(response[0] if isinstance(response, (list, tuple)) else response)


def _asked_alone(sample: Mapping[str, Any]) -> list[int]:
    """The requests that a reader is shown: those behind a prompt, where some are behind none (`acc_mutual_info`)."""
    arguments = sample["arguments"]
    behind = [n for n, request in enumerate(arguments) if request and request[0]]
    return behind or list(range(len(arguments)))


def options_of(sample: Mapping[str, Any]) -> list[str]:
    """The options of a sample that is answered by likelihood; where only their prompts differ, what differs there."""
    requests = [sample["arguments"][n] for n in _asked_alone(sample)]
    ends = [str(request[1]).strip() if len(request) > 1 else "" for request in requests]
    if len(set(ends)) == len(ends) and all(ends):
        return [visible(end) for end in ends]
    if len(ends) == 1:
        return ["the text as a whole"]  # a rolling likelihood has no options
    prompts = [str(request[0]) for request in requests]
    start = len(_common_start(prompts))
    return [visible(f"{prompt[start:]} {end}".strip()) for prompt, end in zip(prompts, ends, strict=True)]


def _common_start(texts: Sequence[str]) -> str:
    """What all of the texts begin with."""
    first, last = min(texts), max(texts)  # whatever these two share, all between them share
    return first[: next((n for n, pair in enumerate(zip(first, last, strict=False)) if len({*pair}) > 1), len(first))]


class Prompts:
    """What documents ask, without what all of a cell's requests begin and end with: the chat template's marks.

    Args:
        samples: a cell's.
    """

    def __init__(self, samples: Sequence[Mapping[str, Any]]) -> None:
        asked = [_request(sample) for sample in samples]
        several = len(set(asked)) > 1
        start = _common_start(asked) if several else ""
        end = _common_start([text[::-1] for text in asked])[::-1] if several else ""
        # Whole lines only: "Q: " may belong to the question.
        self._start = start.rfind("\n") + 1
        self._end = len(end) - end.find("\n") if "\n" in end else 0

    def of(self, sample: Mapping[str, Any]) -> str:
        """What a document asks: its own `prompt` behind its earlier turns where it has them, else its request."""
        doc = sample["doc"]
        if isinstance(prompt := doc.get("prompt"), str):
            return visible("\n\n".join([*_turns(doc), prompt]))
        text = _request(sample)
        return visible(text[self._start : max(self._start, len(text) - self._end)].strip() or text)


def _request(sample: Mapping[str, Any]) -> str:
    arguments = sample["arguments"]
    return str(arguments[0][0]) if arguments and arguments[0] else ""


def _turns(doc: Mapping[str, Any]) -> list[str]:
    """What was said before a document's prompt, a turn each, with who said it."""
    turns = doc.get("turns")
    if isinstance(turns, list):
        return [f"{('User', 'Model')[n % 2]}: {turn}" for n, turn in enumerate(turns)]
    try:
        messages = json.loads(doc.get("messages", "[]"))
        return [f"{message['role'].capitalize()}: {message['content']}" for message in messages[:-1]]
    except (ValueError, TypeError, KeyError, AttributeError):  # a field of that name that is something else
        return []
