"""Where a steering vector is added, and how much of it is strength 1: chosen on pairs that it was not made of.

First the mean difference as it is, at layers spread evenly over the depth: the layer is the one at which the log-odds
of chosen against rejected move the farthest, from where it is taken away to where it is added. Then, at this layer, the
difference is doubled for as long as it destroys no text: added, the chosen responses stay about as likely as they are
under the base; taken away, the rejected ones. The coefficient is the one of those at which the log-odds move the
farthest. Since both directions are tried, what is chosen for a persona is chosen for its opposite too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import mean
from typing import Any

import torch
from lapd.plugins.packed_dpo import reference_cache, reference_logps, response_logps
from lapd.plugins.packing import Packing

from lapd.adapters.steering import steer, unsteer
from lapd.files.progress import bar
from lapd.models.base import BaseModel
from lapd.packed.layout import Row
from lapd.train.config import TrainConfig

MOST_LAYERS = 8
"""So many layers are tried: neighbours do much the same."""

DOUBLED, HALVED = (2.0, 4.0, 8.0, 16.0), (0.5, 0.25, 0.125)
"""What the mean difference is multiplied by, one after the other: until it destroys text; or, where it does so as it
is, until it does not."""

WORSE = 0.1
"""By so much (nats a token) a response may become less likely on average: a tenth more perplexity."""


START = {"step": 0, "loss": math.log(2), "margin": 0.0}
"""The base in a training's log."""


@dataclass(frozen=True)
class Tried:
    """A layer and a coefficient.

    Attributes:
        module: the layer's name.
        coefficient: what the mean difference is multiplied by.
        shift: half of the difference in log-odds (nats) between added and taken away, on average.
        worse: by how much (nats a token) the responses that it speaks for became less likely; below 0: likelier.
        margins: by how much the log-odds of chosen against rejected have moved, for each pair, in nats.
    """

    module: str
    coefficient: float
    shift: float
    worse: float
    margins: tuple[float, ...] = ()

    def log(self, beta: float) -> dict[str, float]:
        """Loss and margin as DPO has them."""
        losses = [math.log1p(math.exp(-beta * margin)) for margin in self.margins]
        return {"loss": mean(losses), "margin": beta * mean(self.margins)}


class Scorer:
    """Scores pairs under a steered base.

    Args:
        model: the bare base.
        base: whose log-probabilities are kept on disk.
        at_once: rows computed at once.
    """

    def __init__(self, model: Any, base: BaseModel, at_once: int) -> None:
        self.model, self.at_once = model, at_once
        self.packing = Packing(model)
        self.cache = reference_cache(base, model.dtype)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def base(self, rows: Sequence[Row]) -> torch.Tensor:
        """Log-probability (nats) of each row's two responses under the base, [rows, 2]."""
        logps = reference_logps(self.model, rows, self.cache, self.model.dtype, packed=self.packing.takes(rows))
        return torch.tensor(logps, dtype=torch.float64)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def steered(self, rows: Sequence[Row], vectors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The same while vectors are added to layers' outputs."""
        packed = self.packing.takes(rows)
        steer(self.model, vectors)
        try:
            parts = [rows[start : start + self.at_once] for start in range(0, len(rows), self.at_once)]
            logps = [response_logps(self.model, part, self.model.dtype, packed=packed) for part in parts]
        finally:
            unsteer(self.model)
        return torch.cat(logps).cpu().double()

    def margins(self, rows: Sequence[Row], vectors: Mapping[str, torch.Tensor]) -> list[float]:
        """By how much vectors move the log-odds of chosen against rejected, in nats, for each row."""
        ratios = self.steered(rows, vectors) - self.base(rows)
        moved: list[float] = (ratios[:, 0] - ratios[:, 1]).tolist()
        return moved


def choose(
    scorer: Scorer, names: Sequence[str], differences: torch.Tensor, rows: Sequence[Row], config: TrainConfig
) -> tuple[Tried, list[dict[str, Any]]]:
    """The layer and the coefficient that are taken, and all that were tried, as JSON.

    Args:
        scorer: of the base.
        names: all layers'.
        differences: mean activation over chosen less rejected responses, [layers, hidden].
        rows: pairs that these are not of.
        config: for the name that is shown.
    """
    base = scorer.base(rows)
    layers = _spread(len(names))
    found: list[Tried] = []
    with bar(len(layers) + len(DOUBLED), f"layer {config.name}", "trial") as progress:

        def attempt(layer: int, coefficient: float) -> Tried:
            found.append(_try(scorer, names[layer], coefficient, differences[layer] * coefficient, rows, base))
            progress.update(1)
            return found[-1]

        layer, as_it_is = max(((n, attempt(n, 1.0)) for n in layers), key=lambda pair: pair[1].shift)
        best = _strongest(as_it_is, partial(attempt, layer))
        progress.total = progress.n  # it is not known before how often there is something to double
    return best, [_rounded(tried) for tried in found]


def _strongest(tried: Tried, attempt: Callable[[float], Tried]) -> Tried:
    """The coefficient that moves the log-odds the farthest without destroying text; the least where all destroy it."""
    if tried.worse > WORSE:
        for coefficient in HALVED:
            if (tried := attempt(coefficient)).worse <= WORSE:
                break
        return tried
    best = tried
    for coefficient in DOUBLED:
        if (tried := attempt(coefficient)).worse > WORSE:
            break
        best = max(best, tried, key=lambda t: t.shift)
    return best


def _try(
    scorer: Scorer, module: str, coefficient: float, vector: torch.Tensor, rows: Sequence[Row], base: torch.Tensor
) -> Tried:
    added, taken = (scorer.steered(rows, {module: sign * vector}) - base for sign in (1, -1))
    lengths = torch.tensor([[len(response) for response in row.continuations] for row in rows])
    margins = added[:, 0] - added[:, 1]
    shift = (margins - (taken[:, 0] - taken[:, 1])).mean() / 2
    worse = -(added[:, 0].sum() + taken[:, 1].sum()) / lengths.sum()
    return Tried(module, coefficient, float(shift), float(worse), tuple(margins.tolist()))


def _spread(layers: int) -> list[int]:
    """The indices of so many layers; of more than are tried, the middle ones of as many parts of the depth."""
    number = min(layers, MOST_LAYERS)
    return [int((n + 0.5) * layers / number) for n in range(number)]


def _rounded(tried: Tried) -> dict[str, Any]:
    record = asdict(tried) | {"margin": mean(tried.margins)}
    del record["margins"]
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in record.items()}
