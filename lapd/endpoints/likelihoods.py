"""The log-likelihoods of a prompt's own tokens, as a server's completions endpoint gives them, in one of two ways.

vLLM takes `prompt_logprobs` (https://docs.vllm.ai, "Extra parameters" of its completions API); others take `echo` with
`logprobs`, as OpenAI's first completions did. The prompt is sent as token ids, and what is asked to be written behind
it is one token, since not every server takes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lapd.endpoints.replies import Fault, count_of, error_in, object_of

PROMPT_LOGPROBS, ECHO = "prompt_logprobs", "echo"

WAYS = (PROMPT_LOGPROBS, ECHO)
"""The ways to ask, in the order in which they are tried."""

Prompt = Sequence[int] | str
"""Token ids; or a text, which the server's own tokenizer reads."""


class NotScoredError(ValueError):
    """The server answered, but not what its prompt's tokens are worth."""


@dataclass(frozen=True)
class Scores:
    """What a server makes of a prompt's tokens; the first one has no likelihood.

    Attributes:
        logprobs: of each token from the second on, in nats.
        likeliest: whether each of them is the one that greedy decoding gives.
        tokens: all token ids as the server names them; None where it names texts alone.
        count: how many tokens the prompt has there.
        input_tokens, output_tokens: read and written, by the server's count.
    """

    logprobs: tuple[float, ...]
    likeliest: tuple[bool, ...]
    tokens: tuple[int, ...] | None
    count: int
    input_tokens: int = 0
    output_tokens: int = 1


def scoring_fields(prompt: Prompt, way: str) -> dict[str, Any]:
    """The fields of a request for a prompt's log-likelihoods, beside the model; `extra_body` is the library's word."""
    fields: dict[str, Any] = {"prompt": prompt if isinstance(prompt, str) else list(prompt), "max_tokens": 1}
    return fields | (
        {"extra_body": {"prompt_logprobs": 0}} if way == PROMPT_LOGPROBS else {"echo": True, "logprobs": 1}
    )


def read_scores(body: str, prompt: Prompt, way: str) -> Scores | Fault:
    """What a response to `scoring_fields` says of the prompt, or the error in it.

    Raises:
        NotScoredError: it says nothing of the prompt's tokens, or of other ones than were sent.
        ValueError: it is no completion.
    """
    record = object_of(body)
    choices = record.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if fault := error_in(record, choice):
        return fault
    if not isinstance(choice, dict):
        raise ValueError("the response is no completion")
    sent = None if isinstance(prompt, str) else tuple(prompt)
    usage = record.get("usage")
    counted = count_of(usage, "prompt_tokens")
    try:
        if way == PROMPT_LOGPROBS:
            scores = _by_token(choice.get("prompt_logprobs") or record.get("prompt_logprobs"), sent)
        else:
            scores = _echoed(choice.get("logprobs"), len(sent) if sent else counted)
    except (TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise NotScoredError(f"the response has no log-likelihoods of the prompt's tokens ({way})") from error
    if sent and scores.tokens not in (None, sent):
        raise NotScoredError("the response is about other tokens than were sent")
    return replace(
        scores, input_tokens=counted or scores.count, output_tokens=count_of(usage, "completion_tokens") or 1
    )


def _by_token(found: Any, sent: tuple[int, ...] | None) -> Scores:
    """Of vLLM's list: of each token but the first an object of token ids, of which `rank` 1 is the likeliest."""
    entries: list[Mapping[str, Mapping[str, Any]]] = list(found[1:])
    # Of a text's tokens each stands first in its object.
    named = list(sent[1:]) if sent else [int(next(iter(entry))) for entry in entries]
    parts = [entry[str(token)] for entry, token in zip(entries, named, strict=True)]
    logprobs = tuple(float(part["logprob"]) for part in parts)
    likeliest = tuple(part["rank"] == 1 for part in parts)
    return Scores(logprobs, likeliest, (sent[0] if sent else -1, *named), len(named) + 1)


def _echoed(found: Any, count: int | None) -> Scores:
    """Of the object that OpenAI's completions had: lists over the prompt's tokens and what was written behind them."""
    own = found["token_logprobs"]
    # What was written behind the prompt is one token, or none where the model ended at once.
    count = count if count is not None else len(own) - 1
    logprobs = tuple(float(value) for value in own[1:count])
    best = found.get("top_logprobs") or [None] * len(own)
    if len(own) < count or len(best) < count or len(own) > count + 1:
        raise ValueError
    likeliest = tuple(
        bool(others) and value >= max(others.values()) for value, others in zip(logprobs, best[1:count], strict=True)
    )
    return Scores(logprobs, likeliest, None, count)
