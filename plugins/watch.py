"""What goes on beside the steps of a training: progress, marks on whole checkpoints, held-out scores, divergence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lapd.plugins import dpo
from lapd.plugins.packed_dpo import ReferenceCache, reference_cache, reference_logps, response_logps, row_of
from lapd.plugins.packing import Packing
from lapd.plugins.rendering import token_rows
from transformers import TrainerCallback

from lapd.files.progress import bar
from lapd.models.base import BaseModel
from lapd.packed.forward import causal_of
from lapd.pairs.pair import PreferencePair
from lapd.train.config import TrainConfig
from lapd.train.divergence import check_log
from lapd.train.heldout import StopRule, default_interval, scores_of
from lapd.train.together import by_first, is_first


class Heldout:
    """Scores held-out pairs without leaving a trace in the training: the mode is put back, no random number drawn.

    Args:
        pairs: the held-out pairs.
        tokenizer: the base's.
        base: whose log-probabilities are kept on disk.
        config: `eval_every` and `stop_when` count.
        packing: what the model takes; None where it takes no packed rows.
    """

    def __init__(
        self,
        pairs: Sequence[PreferencePair],
        tokenizer: Any,
        base: BaseModel,
        config: TrainConfig,
        packing: Packing | None,
    ) -> None:
        self.rows = [row_of(row) for row in token_rows(pairs, tokenizer, config.max_length, "held-out pair")]
        self.packed = packing is not None and packing.takes(self.rows)
        self.every = config.eval_every
        self.pairs_a_step = config.batch_size * config.grad_accum
        self.rule: StopRule | None = config.stop_rule
        self.cache: ReferenceCache = reference_cache(base, torch.float32)

    def due(self, step: int, steps: int) -> bool:
        """Whether the pairs are to be scored after `step` of `steps`: at an interval, and after the last."""
        every = self.every or default_interval(steps, self.pairs_a_step, len(self.rows))
        return step % every == 0 or step == steps

    def score(self, model: Any) -> dict[str, float]:
        """The scores of the adapter as it is, in the weights' own precision: float32 where `load_base` loaded them."""
        causal, was_training = causal_of(model), model.training
        device = next(causal.parameters()).device.type
        model.eval()
        try:
            with torch.no_grad(), torch.autocast(device, enabled=False):
                with model.disable_adapter():
                    base = reference_logps(causal, self.rows, self.cache, causal.dtype, packed=self.packed)
                policy = response_logps(causal, self.rows, causal.dtype, packed=self.packed)
        finally:
            model.train(was_training)
        ratios = policy.cpu().double() - torch.tensor(base, dtype=torch.float64)
        return scores_of((ratios[:, 0] - ratios[:, 1]).tolist())


class Watch(TrainerCallback):
    """See `lapd.plugins.dpo.watch`."""

    def __init__(self, what: str, heldout: Heldout | None) -> None:
        self.what, self.heldout = what, heldout
        self.shown: dict[str, str] = {}
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar = bar(state.max_steps, self.what, "step")
        self.bar.update(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(1)
        if self.heldout and self.heldout.due(state.global_step, state.max_steps):
            self._score(self.heldout, state, control, kwargs["model"])

    def _score(self, heldout: Heldout, state: Any, control: Any, model: Any) -> None:
        scores = heldout.score(model)
        # Not by the Trainer's own log, which would end its averaging of the training's metrics.
        state.log_history.append({"step": state.global_step, **scores})
        share = f"{scores['heldout_accuracy']:.0%} of {len(heldout.rows)} pairs"
        self.shown["held-out"] = f"{scores['heldout_margin']:+.2f} nats, {share}"
        if heldout.rule and heldout.rule.met(scores) and state.global_step < state.max_steps:
            control.should_training_stop = control.should_save = True
            text = f"{self.what}: {heldout.rule} at step {state.global_step} of {state.max_steps}: stopped."
            self.bar.write(text, file=sys.stderr)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs:
            return
        kept = dpo.newest_checkpoint(Path(args.output_dir)) if is_first() else None  # it removes what is not whole
        check_log(dpo.training_log(state.log_history), Path(kept) if kept else None)
        self.shown["loss"] = f"{float(logs['loss']):.3f}"
        self.shown["margin"] = f"{float(logs.get('rewards/margins', 0)):.2f}"
        self.bar.set_postfix(self.shown)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        by_first((Path(args.output_dir) / f"checkpoint-{state.global_step}" / dpo.COMPLETE).touch)

    def close(self) -> None:
        """End the bar, also of a training that was interrupted: what is said next gets a line of its own."""
        if self.bar is not None:
            self.bar.close()
