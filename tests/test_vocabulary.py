"""Log-probabilities without kept logits: the same numbers and gradients as the obvious way gives."""

from __future__ import annotations

import pytest
import torch

from lapd.packed.vocabulary import SLICE, target_logprobs


def obvious(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Logits, log-softmax, and the targets' entries."""
    return (states @ weight.T).log_softmax(-1).gather(-1, targets[:, None])[:, 0]


@pytest.mark.parametrize("n", [1, SLICE, SLICE + 1, 3 * SLICE])
def test_values_and_gradients_are_those_of_the_obvious_way(n: int) -> None:
    chance = torch.Generator().manual_seed(n)
    weight = torch.randn(50, 8, generator=chance, dtype=torch.float64)
    targets = torch.randint(50, (n,), generator=chance)
    outer = torch.randn(n, generator=chance, dtype=torch.float64)
    results = []
    for way in (target_logprobs, obvious):
        states = torch.randn(n, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
        values = way(states, weight, targets)
        (values * outer).sum().backward()
        results.append((values.detach(), states.grad))
    (ours, our_grad), (theirs, their_grad) = results
    # The values are computed in float32.
    assert torch.allclose(ours.double(), theirs, atol=1e-5)
    assert our_grad is not None and their_grad is not None
    assert torch.allclose(our_grad, their_grad, atol=1e-5)


def test_nothing_is_kept_where_no_gradient_is_wanted() -> None:
    states, weight = torch.randn(3, 4), torch.randn(5, 4)
    assert not target_logprobs(states, weight, torch.tensor([0, 1, 4])).requires_grad
