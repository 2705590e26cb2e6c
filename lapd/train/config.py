"""All that determines an adapter: one typed configuration for YAML, flags and Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lapd.errors import UsageError
from lapd.pairs.controls import parse_control
from lapd.train.heldout import StopRule
from lapd.train.recipes import takes_recipe

AUTO = "auto"
"""The trainer that suits this machine best."""

PRECISIONS = ("auto", "float32", "bfloat16")


LOSSES = ("sigmoid", "ipo", "robust")


SCHEDULES = ("cosine", "linear", "constant")


@takes_recipe
@dataclass(frozen=True)
class TrainConfig:
    """All that determines an adapter, besides the data itself.

    Attributes:
        persona: the persona's code.
        base: `smollm2`, a Hugging Face id or a folder.
        dataset: what `lapd.pairs.readers.read_any_pairs` takes; None takes the generator's pairs.
        generator: where pairs come from when there is no dataset.
        pairs: how many pairs; None for all.
        trainer: which trainer; "auto" takes the one that suits this machine best.
        beta: DPO's temperature: how far the policy may move from the reference (Rafailov et al. 2023, eq. 7).
        epochs: passes over the pairs.
        lr: peak learning rate; LoRA takes ten times or more of what full fine-tuning does.
        batch_size: pairs a step on the device.
        grad_accum: steps whose gradients are added up before the optimizer moves.
        warmup: share of the steps over which the learning rate rises.
        max_length: tokens of prompt and response together; a pair that is longer is refused, not cut.
        r: rank of the LoRA matrices.
        alpha: LoRA's scale; the update is multiplied by alpha / r.
        precision: of the training passes: float32, bfloat16 (autocast), or auto (whichever was measured to be faster).
        seed: of the pairs' choice and order and of the adapter's first weights.
        save_steps: optimizer steps between checkpoints.
        control: None, or which control adapter: "shuffled", "opposite" and so on; see `lapd.pairs.controls`.
        loss: "sigmoid" is DPO's; "ipo" (Azar et al. 2024, eq. 17) and "robust" (Chowdhury et al. 2024) are others.
        rpo_alpha: weight of a further term, the chosen responses' negative log-likelihood a token (Pang et al. 2024).
        label_smoothing: for `robust`: the share of pairs that may have chosen and rejected the wrong way round.
        schedule: of the learning rate after warmup: "cosine" or "linear" down to 0, or "constant".
        weight_decay: AdamW's, on the LoRA matrices.
        lora_dropout: share of a LoRA layer's inputs that is left out at random in training.
        gradient_checkpointing: compute activations anew in the backward pass: less memory, a third more time.
        eval_every: optimizer steps between scorings of held-out pairs; None for about four over the training.
        eval_pairs: how many held-out pairs, 0 for none; None for up to 24 of the generator's. Of a dataset so many are
            taken off the end; None keeps a fifth of it from training, told by content (`lapd.pairs.split`).
        stop_when: end early once a held-out score is reached, such as "heldout_accuracy>=0.95".
        load_in_4bit: train on a base model quantized to 4 bit (NF4), a fourth of the memory; some trainers can.
        persona_file: a YAML file with the description and system prompt of a persona of one's own.
        train_prompt: the system prompt under which pairs are trained: "persona", a file with it, or None for the pairs'
            own (see `lapd.train.prompts`).
        fold_system_prompt: put system prompts before the user's words, for chat templates without a place for them.
        target_modules: the layers that LoRA goes onto, as in "q_proj,v_proj"; None for every linear one that takes it.
        recipe: settings under a name (`lapd.train.recipes`), for those that are not given.
        replicate: one of several trainings that differ by their seed, which the name ends in (`lapd.train.seeds`).
        batch_rows: how many pairs of a batch are computed at the same time, each on cores of its own; "auto" for what
            suits the machine.
    """

    persona: str
    base: str = "smollm2"
    dataset: str | None = None
    generator: str = "contrast"
    pairs: int | None = None
    trainer: str = AUTO
    beta: float = 0.1
    epochs: float = 2.0
    lr: float = 2e-4
    batch_size: int = 4
    grad_accum: int = 1
    warmup: float = 0.1
    max_length: int = 512
    r: int = 16
    alpha: int = 16
    precision: str = "auto"
    seed: int = 0
    save_steps: int = 20
    control: str | None = None
    loss: str = "sigmoid"
    rpo_alpha: float = 0.0
    label_smoothing: float = 0.0
    schedule: str = "cosine"
    weight_decay: float = 0.0
    lora_dropout: float = 0.0
    gradient_checkpointing: bool = False
    eval_every: int | None = None
    eval_pairs: int | None = None
    stop_when: str | None = None
    load_in_4bit: bool = False
    target_modules: str | None = None
    recipe: str | None = None
    persona_file: str | None = None
    train_prompt: str | None = None
    fold_system_prompt: bool = False
    replicate: bool = False
    batch_rows: int | str = AUTO

    def __post_init__(self) -> None:
        for name in ("beta", "epochs", "lr", "batch_size", "grad_accum", "max_length", "r", "alpha", "save_steps"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{name} must be above 0 and finite, not {getattr(self, name)}.")
        if self.pairs is not None and self.pairs < 1:
            raise UsageError(f"pairs must be at least 1, not {self.pairs}.")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"warmup is a share of the steps, from 0 to below 1, not {self.warmup}.")
        if self.control:
            parse_control(self.control)
        if self.precision not in PRECISIONS:
            raise UsageError(f"There is no precision {self.precision!r}.", f"Known: {', '.join(PRECISIONS)}.")
        if self.rows_at_once is not None and self.rows_at_once < 1:
            raise UsageError(f"--batch-rows is auto or a number from 1 on, not {self.batch_rows}.")
        self._check_loss()
        self._check_heldout()

    def _check_loss(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError(f"There is no --loss {self.loss!r}.", f"Known: {', '.join(LOSSES)}.")
        if self.schedule not in SCHEDULES:
            raise UsageError(f"There is no --schedule {self.schedule!r}.", f"Known: {', '.join(SCHEDULES)}.")
        for name in ("rpo_alpha", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} must be 0 or more, not {getattr(self, name)}.")
        if not 0 <= self.lora_dropout < 1:
            raise UsageError(f"--lora-dropout is a share, from 0 to below 1, not {self.lora_dropout}.")
        if not 0 <= self.label_smoothing < 0.5:
            raise UsageError(f"--label-smoothing is a share, from 0 to below 0.5, not {self.label_smoothing}.")
        if self.loss == "robust" and not self.label_smoothing:
            hint = "Give --label-smoothing 0.1, say: the share of pairs that may be the wrong way round."
            raise UsageError("--loss robust needs --label-smoothing: without it, it is sigmoid.", hint)
        if self.label_smoothing and self.loss != "robust":
            hint = "Leave --label-smoothing out, or give --loss robust."
            raise UsageError(f"--label-smoothing has no meaning for --loss {self.loss}.", hint)

    def _check_heldout(self) -> None:
        if self.eval_every is not None and self.eval_every < 1:
            raise UsageError(f"--eval-every must be at least 1, not {self.eval_every}.")
        if self.eval_pairs is not None and self.eval_pairs < 0:
            raise UsageError(f"--eval-pairs must be 0 or more, not {self.eval_pairs}.")
        if self.stop_when is not None:
            StopRule.parse(self.stop_when)
        for option, value in (("--eval-every", self.eval_every), ("--stop-when", self.stop_when)):
            if value is not None and self.eval_pairs == 0:
                raise UsageError(f"{option} needs held-out pairs, and there are none.", "Leave --eval-pairs 0 out.")

    @property
    def rows_at_once(self) -> int | None:
        """`batch_rows` as a number; None for `auto`, and 0 for what is neither."""
        text = str(self.batch_rows)
        return None if text == AUTO else int(text) if text.isdecimal() else 0

    @property
    def stop_rule(self) -> StopRule | None:
        """`stop_when`, understood."""
        return StopRule.parse(self.stop_when) if self.stop_when else None

    @property
    def name(self) -> str:
        """What the adapter's folder is called unless said otherwise: "INFP", or "shuffled-INFP" for a control.

        Of a replicate it ends in the seed, from which the control's draw follows: "INFP.2", "shuffled-INFP.2".
        """
        control = parse_control(self.control)[0] if self.control and self.replicate else self.control
        stem = f"{control}-{self.persona}" if control else self.persona
        return f"{stem}.{self.seed}" if self.replicate else stem

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: object = "the configuration") -> TrainConfig:
        """A configuration from a mapping, such as a YAML block.

        Raises:
            DataError: a key or a value's type is not one of these; the message names `where` and the nearest key.
        """
        from lapd.files.settings import build

        return build(cls, values, where)
