"""A model whose numbers are none is found out at once, before all else is computed for nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from lapd.errors import ModelError


def check_likelihoods(answers: Iterable[Any], called: str, dtype: torch.dtype) -> None:
    """Refuse log-likelihoods that are no numbers, as a model gives them beyond its precision's range.

    Args:
        answers: (log-likelihood, greedy) of each request; texts pass.
        called: which model it is, for the message.
        dtype: the precision that it computes in.

    Raises:
        ModelError: one is not finite.
    """
    for answer in answers:
        if isinstance(answer, (tuple, list)) and isinstance(answer[0], float) and not math.isfinite(answer[0]):
            raise no_numbers(called, "log-likelihoods", dtype)


def check_chosen(logits: torch.Tensor, tokens: torch.Tensor, called: str) -> None:
    """Refuse logits of which the largest is no number: the token that it stands for was never chosen.

    Args:
        logits: (rows, vocabulary).
        tokens: (rows,), the largest of each row; torch takes what is no number for the largest.
        called: which model it is, for the message.

    Raises:
        ModelError: one is not finite.
    """
    if not bool(logits.gather(-1, tokens[:, None]).isfinite().all()):
        raise no_numbers(called, "logits", logits.dtype)


def no_numbers(called: str, what: str, dtype: torch.dtype) -> ModelError:
    """The error of a model that gives `what` in a precision."""
    precision = str(dtype).removeprefix("torch.")
    hint = "Are its weights damaged?"
    if dtype != torch.float32:
        hint = "They are beyond its range: evaluate with --dtype float32" + (
            ", or bfloat16, which has the same." if dtype == torch.float16 else "."
        )
    return ModelError(f"{called} gives {what} that are no numbers in {precision}.", hint)
