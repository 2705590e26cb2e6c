"""The trainer `steering`: a persona as a vector in the residual stream, from what a base makes of pairs; no gradients.

Contrastive activation addition (Rimsky et al. 2023, arXiv 2312.06681), with means over responses as persona vectors
have them (Chen et al. 2025, arXiv 2507.21509): by layer, the mean activation over the tokens of the chosen responses,
less that over the rejected ones. `lapd.plugins.steering_choice` chooses the layer, and how much of the vector is
strength 1.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.plugins import dpo
from lapd.plugins.trl import LoadedBase

from lapd.adapters.steering import write_steering
from lapd.files.progress import bar
from lapd.files.quiet import quiet_libraries
from lapd.files.whole import write_json
from lapd.hookspecs import Trainer, TrainResult
from lapd.models.base import BaseModel
from lapd.pairs.pair import PreferencePair
from lapd.pluginmanager import hookimpl
from lapd.train.config import TrainConfig

if TYPE_CHECKING:
    from torch import Tensor

    from lapd.packed.layout import Row

PACKAGES = ("torch", "transformers")

LAYERS = "layers.json"
"""What each layer and coefficient that was tried came to."""

GRADIENTS = (
    *("epochs", "lr", "warmup", "schedule", "weight_decay", "loss", "rpo_alpha", "label_smoothing"),
    *("r", "alpha", "lora_dropout", "target_modules", "gradient_checkpointing", "save_steps", "eval_every"),
)
"""Settings of a training by gradients, which have no meaning here."""

KEPT_FOR_CHOICE, MOST_FOR_CHOICE = 5, 16
"""Every so manieth pair chooses the layer and is kept from the vector that is tried, but no more than so many."""


class SteeringTrainer:
    """Steering vectors from pairs.

    Args:
        heldout: pairs that the finished vector is scored on.
        bases: the base model in memory.
    """

    name = "steering"
    description = "a vector added to one layer's output, from activations on the pairs; nothing is trained"
    conversations = True

    def __init__(
        self,
        heldout: Sequence[PreferencePair] = (),
        bases: LoadedBase | None = None,
        means: dict[Any, Tensor] | None = None,
    ) -> None:
        self._heldout = heldout
        self._bases = bases or LoadedBase()
        self._means = {} if means is None else means

    def unavailable(self) -> str | None:
        missing = [package for package in ("torch", "trl") if find_spec(package) is None]
        return f"{', '.join(missing)} not installed; pip install lapd brings it." if missing else None

    def preference(self) -> tuple[float, str]:
        return -1, "it makes another thing than an adapter"

    def refuses(self, config: TrainConfig) -> str | None:
        for option, given in (("--load-in-4bit", config.load_in_4bit), ("--stop-when", config.stop_when)):
            if given:
                return f"it has no {option}, since nothing is trained. Leave it out."
        return None

    def steps(self, config: TrainConfig, pairs: int) -> int:
        return -(-pairs // config.batch_size)

    def scoring(self, pairs: Sequence[PreferencePair]) -> Trainer:
        return SteeringTrainer(pairs, self._bases, self._means)

    @contextmanager
    def keep_base(self) -> Iterator[None]:
        self._bases.keeping = True
        try:
            yield
        finally:
            self._bases.forget()
            self._means.clear()

    def train(
        self, config: TrainConfig, base: BaseModel, pairs: Sequence[PreferencePair], work: Path, adapter: Path
    ) -> TrainResult:
        with quiet_libraries():
            model, tokenizer = self._bases.take(base, config)
            result = _make_vector(config, base, model, tokenizer, pairs, self._heldout, adapter, self._means)
            self._bases.give_back(base, config, model, tokenizer)
        if not self._bases.keeping:
            self._means.clear()
        return result


def _make_vector(
    config: TrainConfig,
    base: BaseModel,
    model: Any,
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    heldout: Sequence[PreferencePair],
    adapter: Path,
    means: dict[Any, Tensor],
) -> TrainResult:
    """Write the vector into the folder `adapter`, and say what it came to."""
    from lapd.plugins.activations import decoder_layers
    from lapd.plugins.packed_dpo import row_of
    from lapd.plugins.rendering import token_rows
    from lapd.plugins.steering_choice import START, Scorer, choose

    from lapd.models.chat import check_chat_template
    from lapd.train.heldout import scores_of

    check_chat_template(tokenizer, base.name)
    tokens = token_rows(pairs, tokenizer, config.max_length)
    others = token_rows(heldout, tokenizer, config.max_length, "held-out pair")
    dpo.refuse_unknown_tokens([*tokens, *others], tokenizer, model)
    rows, heldout_rows = [row_of(row) for row in tokens], [row_of(row) for row in others]
    for_choice = _for_choice(len(rows), config.seed)
    whole, tried = _differences(model, base, rows, for_choice, means, f"activations {config.name}")
    names = list(decoder_layers(model))
    scorer = Scorer(model, base, config.batch_size)
    chosen, table = choose(scorer, names, tried, [rows[n] for n in for_choice], config)
    vector = whole[names.index(chosen.module)]
    write_steering(adapter, chosen.module, vector, chosen.coefficient)
    write_json(adapter / LAYERS, table)
    end: dict[str, float] = {"step": SteeringTrainer().steps(config, len(rows)), **chosen.log(config.beta)}
    if heldout_rows:
        end |= scores_of(scorer.margins(heldout_rows, {chosen.module: vector * chosen.coefficient}))
    settings = {
        **dict.fromkeys(GRADIENTS),
        **{"precision": "float32", "steps": end["step"]},
        **{"steered": chosen.module, "layers": len(names), "coefficient": chosen.coefficient},
        **{"norm": round(float(vector.norm()), 4), "pairs_for_choice": len(for_choice)},
    }
    return TrainResult([START, end], {name: metadata.version(name) for name in PACKAGES}, settings)


def _for_choice(pairs: int, seed: int) -> list[int]:
    """Which pairs choose the layer."""
    number = min(MOST_FOR_CHOICE, max(1, pairs // KEPT_FOR_CHOICE))
    return sorted(random.Random(f"steering {seed}").sample(range(pairs), number))


def _differences(
    model: Any, base: BaseModel, rows: Sequence[Row], apart: Sequence[int], means: dict[Any, Tensor], what: str
) -> tuple[Tensor, Tensor]:
    """Mean activations over chosen responses less those over rejected ones, by layer.

    Args:
        model: the base, bare.
        base: what it was loaded from.
        rows: a pair each.
        apart: the rows that are left out of the second result.
        means: of each response, those that are known: personas share their poles' responses.
        what: shown in front of the progress.

    Returns:
        Of all rows, and of those that are not `apart`, [layers, hidden] each; where nothing is left, both are of all.
    """
    from lapd.plugins.activations import response_mean

    sums: dict[bool, Any] = {True: 0.0, False: 0.0}
    with bar(len(rows), what, "pair") as progress:
        for number, row in enumerate(rows):
            for sign, response in zip((1, -1), row.continuations, strict=True):
                key = base.digest, row.context, response
                if key not in means:
                    means[key] = response_mean(model, row.context, response)
                sums[number in apart] += sign * means[key]
            progress.update(1)
    whole = (sums[True] + sums[False]) / len(rows)
    left = len(rows) - len(apart)
    return whole, sums[False] / left if left else whole


@hookimpl
def lapd_register_trainers(register: Callable[[Trainer], None]) -> None:
    register(SteeringTrainer())
