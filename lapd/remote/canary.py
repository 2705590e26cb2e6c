"""Before a server's likelihoods are used: are its tokens and its numbers right?

What a text costs in nats cannot be told wrong by looking at it: another tokenizer, another model under the same name or
a server that counts from another token all give numbers. So it is asked about a few texts of which more is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lapd.endpoints.likelihoods import Scores
from lapd.errors import EndpointError, ModelError
from lapd.models.base import BaseModel
from lapd.models.identity import WEIGHTS, matching
from lapd.models.loading import free_memory, load_base
from lapd.models.tokenizers import SAMPLE
from lapd.remote.scoring_lm import ScoringLM

PROBES = (
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "I would rather stay at home with a good book than go to the party.",
    "def add(a, b):\n    return a + b\n",
    "One, two, three, four, five, six, seven, eight, nine, ten.",
)
"""Texts of which the server's numbers are held against others."""

ANOTHER_MODEL = 0.5
"""Nats a token, on average, that a coarser precision does not explain; another model, or another token, does."""

ANOTHER_BATCH = 0.1
"""Nats a token that a text's number may move when others are asked about beside it; rounding alone moves it less."""

SMALL = 2**31
"""Bytes of weights on this machine from which on they are not loaded only to check a server's numbers."""


def check_server(lm: ScoringLM, weights: BaseModel | None) -> str:
    """Refuse a server whose tokens or numbers are not right.

    Args:
        lm: asks the base model, and knows the way to.
        weights: the base model where it is on this machine too; None where it is not.

    Returns:
        What was found, in a sentence.

    Raises:
        EndpointError: its tokenizer is another than ours, or its numbers are wrong or depend on the batch.
    """
    _check_tokens(lm)
    alone = [_ask(lm, [prompt])[0].logprobs for prompt in _prompts(lm)]
    if weights and sum(file.stat().st_size for file in matching(weights.path, WEIGHTS)) < SMALL:
        return _against_weights(lm, alone, weights)
    return _against_batch(lm, alone)


def check_changes(lm: ScoringLM, base: str) -> None:
    """Refuse an adapter that is none there: the model that is asked now gives the numbers of the one called `base`.

    Raises:
        ModelError: it does.
        EndpointError: it cannot be asked.
    """
    own = [scores.logprobs for scores in _ask(lm, _prompts(lm))]
    lm.model, adapter = base, lm.model
    try:
        bare = [scores.logprobs for scores in _ask(lm, _prompts(lm))]
    finally:
        lm.model = adapter
    if own == bare:
        hint = "Is it loaded there, and trained?"
        raise ModelError(f"{lm.endpoint.base_url}: {adapter} gives the base's own likelihoods to the last digit.", hint)


def _prompts(lm: ScoringLM) -> list[tuple[int, ...]]:
    return [(lm.prefix_token_id, *lm.tok_encode(text, add_special_tokens=False)) for text in PROBES]


def _ask(lm: ScoringLM, prompts: Sequence[Any]) -> list[Scores]:
    """What the server makes of prompts that are sent at once."""
    found: dict[int, Scores] = {}
    if failed := lm.score(dict(enumerate(prompts)), found.__setitem__):
        raise EndpointError(f"{lm.endpoint.base_url}: {next(iter(failed.values()))}")
    return [found[number] for number in range(len(prompts))]


def _check_tokens(lm: ScoringLM) -> None:
    """Refuse another tokenizer: the server is sent a text, and reads it as it would."""
    (theirs,) = _ask(lm, [SAMPLE])
    ours = tuple(lm.tok_encode(SAMPLE, add_special_tokens=False))
    # Some tokenizers begin a text with a token of its own; of the first one no server names the likelihood.
    same = theirs.tokens is None or theirs.tokens[1:] in (ours, ours[1:])
    if not same or theirs.count not in (len(ours), len(ours) + 1):
        hint = "Name the served base model's own with --tokenizer."
        where, name = lm.endpoint.base_url, lm.tokenizer.name_or_path
        raise EndpointError(f"{where} reads texts by another tokenizer than {name}.", hint)


def _against_weights(lm: ScoringLM, alone: Sequence[Sequence[float]], weights: BaseModel) -> str:
    import torch

    model, _ = load_base(weights)
    furthest = 0.0
    with torch.inference_mode():
        for prompt, theirs in zip(_prompts(lm), alone, strict=True):
            ids = torch.tensor([prompt], device=model.device)
            logprobs = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
            ours = logprobs.gather(-1, ids[0, 1:, None])[:, 0].tolist()
            furthest = max(furthest, _distance(ours, theirs))
    del model
    free_memory()
    if furthest > ANOTHER_MODEL:
        what = f"{lm.endpoint.base_url}: {lm.model} is {furthest:.2f} nats a token from {weights.path}"
        raise EndpointError(f"{what}.", "It is another model, or its likelihoods are wrong.")
    return f"its likelihoods are {furthest:.2g} nats a token from those of {weights.path} in float32"


def _against_batch(lm: ScoringLM, alone: Sequence[Sequence[float]]) -> str:
    together = [scores.logprobs for scores in _ask(lm, _prompts(lm))]
    furthest = max(_distance(one, other) for one, other in zip(alone, together, strict=True))
    if furthest > ANOTHER_BATCH:
        what = f"{lm.endpoint.base_url}: likelihoods move by {furthest:.2f} nats a token with what is asked beside them"
        raise EndpointError(f"{what}.", "Such numbers are no measurement.")
    return f"its likelihoods move by {furthest:.2g} nats a token with what is asked beside them"


def _distance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The mean absolute difference (nats) of two texts' tokens."""
    return sum(abs(one - other) for one, other in zip(ours, theirs, strict=True)) / len(ours)
