"""Answers that are drawn instead of written greedily, each by random numbers of its own.

What is drawn depends on its item, its number and the seed: each answer has one random number a token, from a generator
of its own, so that neither its batch nor the batch's size can be seen in it (but where a random number falls between
two tokens to within a float's last digits). Arms draw by the same numbers, which makes their differences smaller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lapd.files.whole import digest_json


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn instead of written greedily.

    Attributes:
        temperature: what the logits are divided by; above 0.
        top_p: only the likeliest tokens that have so much of the probability together.
        seed: of all answers.
        item: the document field that names its item; None for its position.
    """

    temperature: float
    top_p: float = 1.0
    seed: int = 0
    item: str | None = None

    def seeds(self, requests: Sequence[Any]) -> list[int]:
        """What the random numbers of each request's answer are seeded by.

        Args:
            requests: lm-eval's; one that is asked for several answers stands there as often.
        """
        seen: Counter[int] = Counter()
        found = []
        for request in requests:
            item = request.doc[self.item] if self.item else request.doc_id
            identity = [self.seed, str(item), request.idx, seen[id(request)]]
            found.append(int(digest_json(identity)[:15], 16))
            seen[id(request)] += 1
        return found


def draw(logits: torch.Tensor, uniforms: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """A token for each row: the first up to which the probabilities come to more than the row's random number.

    Args:
        logits: (rows, vocabulary).
        uniforms: (rows,), from 0 to below 1, float64.
        sampling: temperature and top_p.
    """
    probabilities = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ordered, order = torch.sort(probabilities, dim=-1, descending=True, stable=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        probabilities = probabilities.scatter(-1, order, ordered.masked_fill(outside, 0.0))
    if probabilities.device.type == "mps":  # which has no float64
        probabilities = probabilities.cpu()
    edges = probabilities.cumsum(-1, dtype=torch.float64)
    tokens = torch.searchsorted(edges, (uniforms.to(edges.device) * edges[:, -1])[:, None], right=True)
    return tokens.squeeze(-1).clamp(max=logits.shape[-1] - 1).to(logits.device)


def random_numbers(seeds: Sequence[int], limit: int) -> torch.Tensor:
    """The random numbers of answers of up to so many tokens, each from its own seed: (answers, limit), float64."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.stack([torch.rand(limit, dtype=torch.float64, generator=generator) for generator in generators])


class Drawing:
    """An lm-eval model that draws several answers to each request: with every call for the same requests the next ones.

    All are drawn with the first call: large batches are quicker.

    Args:
        lm: the model, whose `sampling` is set.
        number: answers to each request.
    """

    def __init__(self, lm: Any, number: int) -> None:
        self._lm, self._number = lm, number
        self._drawn: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lm, name)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The next answer to each request, in order."""
        if not self._drawn:
            each = [request for request in requests for _ in range(self._number)]
            texts = self._lm.generate_until(each, disable_tqdm=disable_tqdm)
            self._drawn = [texts[sample :: self._number] for sample in range(self._number)]
        return self._drawn.pop(0)
