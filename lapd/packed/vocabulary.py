"""The log-probability of given tokens, without keeping a row of the whole vocabulary for each of them.

Between a hidden state and a token's log-probability stands a row as long as the vocabulary (49,152 numbers in the
embedded model, 576 in the state). Kept for the backward pass, those rows outgrow the rest of a small model. Here the
gradient with respect to the states is computed in the forward pass, slice by slice, and the rows are let go.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

SLICE = 64
"""States that meet the vocabulary at once: 13 MB in the embedded model; fewer would read its weights too often."""

GPU_LOGITS = 2**27
"""So many numbers (half a gigabyte) of states that meet the vocabulary on a GPU, where few states leave it idle, and
autocast casts the whole vocabulary's weights for every slice."""


def target_logprobs(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The log-probability (nats) of each target token; differentiable in `states` only.

    Args:
        states: [n, hidden], what the output embedding is applied to.
        weight: [vocabulary, hidden], the output embedding, which is frozen.
        targets: [n] token ids.

    Returns:
        [n], in float32.
    """
    logprobs: torch.Tensor = _TargetLogprobs.apply(states, weight, targets)
    return logprobs


class _TargetLogprobs(torch.autograd.Function):
    """d logprob(t) / d state = W[t] - sum over v of p(v) W[v]."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        keep = ctx.needs_input_grad[0]
        logprobs, gradients = [], []
        if torch.is_autocast_enabled(kind := states.device.type):
            weight = weight.to(torch.get_autocast_dtype(kind))  # once, and not for every slice
        size = SLICE if states.device.type == "cpu" else max(SLICE, GPU_LOGITS // len(weight))
        for part, wanted in zip(states.split(size), targets.split(size), strict=True):
            logits = functional.linear(part, weight).float()
            total = torch.logsumexp(logits, -1, keepdim=True)
            logprobs.append((logits.gather(-1, wanted[:, None]) - total)[:, 0])
            if keep:
                chances = logits.sub_(total).exp_().to(part.dtype)
                gradients.append(weight[wanted].to(part.dtype) - functional.linear(chances, weight.T).to(part.dtype))
        if keep:
            ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(logprobs)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return (grad[:, None] * gradients).to(gradients.dtype), None, None
