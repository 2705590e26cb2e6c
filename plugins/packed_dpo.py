"""TRL's DPOTrainer with a cheaper way to the same losses.

- Prompt, chosen and rejected share one row: the prompt is computed once, and only what predicts a response meets the
  vocabulary.
- On a CPU the rows of a batch are computed apart, forward and backward, as many at a time as have cores
  (`lapd.plugins.cores`): there is no padding, and what a row gives does not depend on its neighbours.
- The reference's log-probabilities are computed once for each (base, prompt, responses) and kept on disk: sixteen
  personas share their poles' responses, and a run that goes on after a kill has them already.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lapd.plugins.cores import on_cores, rows_at_once
from lapd.plugins.lean import make_lean
from torch.nn import functional
from trl import DPOTrainer

from lapd.files.heap import map_from
from lapd.files.kept import KeptValues
from lapd.files.progress import bar
from lapd.files.whole import cache_dir
from lapd.models.base import BaseModel
from lapd.models.loading import embeddings
from lapd.packed.forward import causal_of, pack, trained_logprobs
from lapd.packed.layout import LAYOUT, Row
from lapd.packed.vocabulary import SLICE

SIDES = ("chosen", "rejected")
REFERENCE_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")


class PackedDPOTrainer(DPOTrainer):
    """TRL's DPOTrainer on packed rows; one process, text only.

    Args:
        reference_cache: where the reference's log-probabilities are kept.
        batch_rows: how many rows of a batch are computed at the same time; None for what suits the machine.
        kwargs: passed to `DPOTrainer`. The dataset has the columns of `lapd.plugins.dpo.tokenize`, and the arguments
            do not ask for precomputed reference log-probabilities: TRL would hash the whole model for them.
    """

    def __init__(self, reference_cache: ReferenceCache, batch_rows: int | None = None, **kwargs: Any) -> None:
        super().__init__(data_collator=_collate, **kwargs)
        self._batch_rows = batch_rows
        if causal_of(self.model).device.type == "cpu":
            make_lean(self.model, self._dtype(), anew=not self.args.gradient_checkpointing)
            map_from(4 * SLICE * embeddings(causal_of(self.model)))  # the logits of a slice, in bytes
        rows = [row_of(example) for example in self.train_dataset]
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast(), self.model.disable_adapter():
            logps = reference_logps(causal_of(self.model), rows, reference_cache, self._dtype())
        for column, values in zip(REFERENCE_COLUMNS, zip(*logps, strict=True), strict=True):
            self.train_dataset = self.train_dataset.add_column(column, list(values))

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        return dataset

    def _dtype(self) -> torch.dtype:
        causal = causal_of(self.model)
        return torch.get_autocast_dtype(causal.device.type) if self.args.bf16 else causal.dtype

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """The batch's loss (nats), its gradients added up over parts of the batch.

        Pairs do not depend on each other: what the backward pass needs of one can go before the next one comes.
        """
        rows, reference = inputs["rows"], inputs["reference"]
        whole = inputs.get("whole") or whole_of(rows)
        causal = causal_of(self.accelerator.unwrap_model(self.model))
        size = rows_at_once(causal, rows, self._batch_rows)
        on_cpu = causal.device.type == "cpu"
        if on_cpu and size > 1 and not self._draws():
            return self._step_on_cores(model, inputs | {"whole": whole}, size)
        size = 1 if on_cpu else size
        losses = [
            super(PackedDPOTrainer, self).training_step(
                model, {"rows": rows[n : n + size], "reference": reference[n : n + size], "whole": whole}
            )
            for n in range(0, len(rows), size)
        ]
        return torch.stack(losses).sum()

    def _draws(self) -> bool:
        """Whether a row's numbers depend on when it is computed: dropout, or random states that checkpointing keeps."""
        config = self.model.peft_config["default"]
        return bool(config.lora_dropout) or bool(getattr(causal_of(self.model), "is_gradient_checkpointing", False))

    def _step_on_cores(self, model: Any, inputs: dict[str, Any], at_once: int) -> torch.Tensor:
        """`training_step` with the rows apart; their gradients are added up in the rows' order."""
        model.train()
        trained = [weight for weight in model.parameters() if weight.requires_grad]

        def compute(n: int) -> tuple[Any, ...]:
            part = {name: inputs[name][n : n + 1] for name in ("rows", "reference")}
            loss, *noted = self._row_losses({**part, "whole": inputs["whole"]})
            loss = loss / self.current_gradient_accumulation_steps
            return loss.detach(), noted, in_one_piece(torch.autograd.grad(loss, trained, allow_unused=True))

        losses = []
        with on_cores(at_once) as mapped:
            for loss, noted, gradients in mapped(compute, range(len(inputs["rows"]))):
                losses.append(loss)
                self._note(*noted)
                for weight, gradient in zip(trained, gradients, strict=True):
                    if gradient is not None:
                        weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        return torch.stack(losses).sum()

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The pairs' share of TRL's loss on the whole batch; what each response came to goes into TRL's log."""
        loss, logps, ratios = self._row_losses(inputs)
        self._note(logps, ratios)
        return loss

    def _row_losses(self, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss, and what `_note` is told."""
        causal = causal_of(self.accelerator.unwrap_model(self.model))
        with self.accelerator.autocast():
            logps = response_logps(causal, inputs["rows"], self._dtype())
        ratios = logps - inputs["reference"].to(logps.device)
        lengths = torch.tensor([[len(c) for c in row.continuations] for row in inputs["rows"]], device=logps.device)
        total = torch.zeros((), device=logps.device)
        for kind, weight in zip(self.loss_types, self.loss_weights, strict=True):
            if kind == "sft":  # over all of the batch's tokens
                total = total - weight * logps[:, 0].sum() / inputs["whole"]["chosen_tokens"]
            else:
                losses = preference_losses(kind, ratios, lengths, self.beta, self.label_smoothing)
                total = total + weight * losses.sum() / inputs["whole"]["pairs"]
        return total, logps.detach(), ratios.detach()

    def _note(self, logps: torch.Tensor, ratios: torch.Tensor) -> None:
        """Into the log, under TRL's names: what both responses of each pair came to, and their margin (beta x nats).

        Args:
            logps: log-probabilities (nats) of chosen and rejected, [pairs, 2].
            ratios: the same less the reference's, [pairs, 2].
        """
        margins = self.beta * (ratios[:, 0] - ratios[:, 1])
        noted = {
            "rewards/margins": margins,
            "rewards/accuracies": (margins > 0).to(margins.dtype),
            **{f"rewards/{side}": self.beta * ratios[:, n] for n, side in enumerate(SIDES)},
            **{f"logps/{side}": logps[:, n] for n, side in enumerate(SIDES)},
        }
        metrics = self._metrics["train" if self.model.training else "eval"]
        for name, values in zip(noted, torch.stack(list(noted.values())).tolist(), strict=True):
            metrics[name] += values


def in_one_piece(gradients: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """The same gradients as views into one tensor.

    Each by itself would stay where there was room while the backward pass went on, in a gap between larger tensors, and
    keep those that come after it from that gap. Gradients of several precisions stay as they are.
    """
    if len({gradient.dtype for gradient in gradients if gradient is not None}) != 1:
        return list(gradients)
    sizes = [0 if gradient is None else gradient.numel() for gradient in gradients]
    whole = torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])
    return [
        None if gradient is None else part.view(gradient.shape)
        for gradient, part in zip(gradients, whole.split(sizes), strict=True)
    ]


def whole_of(rows: Sequence[Row]) -> dict[str, int]:
    """What losses are taken over: a batch's pairs, and the tokens of its chosen responses."""
    return {"pairs": len(rows), "chosen_tokens": sum(len(row.continuations[0]) for row in rows)}


def preference_losses(
    kind: str, ratios: torch.Tensor, lengths: torch.Tensor, beta: float, smoothing: float
) -> torch.Tensor:
    """One of TRL 1.14's losses for each pair, [pairs].

    Args:
        kind: "sigmoid" (Rafailov et al. 2023, eq. 7), "robust" (Chowdhury et al. 2024, the unbiased estimate) or "ipo"
            (Azar et al. 2024, eq. 17, with log-ratios a token).
        ratios: log-probability (nats) of chosen and rejected, the policy's less the reference's, [pairs, 2].
        lengths: tokens of chosen and rejected, [pairs, 2].
        beta: DPO's.
        smoothing: for "robust": the share of pairs that may be the wrong way round.
    """
    if kind == "ipo":
        per_token = ratios / lengths
        return (per_token[:, 0] - per_token[:, 1] - 1 / (2 * beta)) ** 2
    margins = beta * (ratios[:, 0] - ratios[:, 1])
    losses = -functional.logsigmoid(margins)
    if kind == "robust":
        flipped = -functional.logsigmoid(-margins)
        losses = ((1 - smoothing) * losses - smoothing * flipped) / (1 - 2 * smoothing)
    return losses


def response_logps(causal: Any, rows: Sequence[Row], dtype: torch.dtype, packed: bool = True) -> torch.Tensor:
    """Log-probability (nats) of each row's two responses, [rows, 2].

    Args:
        causal: a causal language model, without PEFT's wrapper.
        rows: from `row_of`.
        dtype: of the attention mask: what the model computes in.
        packed: whether the model takes packed rows; else each response is computed with its own copy of the prompt.
    """
    if causal.device.type == "cpu":
        with on_cores(rows_at_once(causal, rows)) as mapped:
            return torch.cat(list(mapped(lambda row: _logps(causal, [row], dtype, packed), rows)))
    return _logps(causal, rows, dtype, packed)


def _logps(causal: Any, rows: Sequence[Row], dtype: torch.dtype, packed: bool) -> torch.Tensor:
    """`response_logps` of rows that go through the model together."""
    if not packed:
        return torch.stack([_plain_logps(causal, row) for row in rows])
    packed_rows = pack(rows, causal.device, dtype, config=causal.config.get_text_config())
    logprobs = trained_logprobs(causal, packed_rows)
    return torch.stack([part.sum() for part in logprobs.split(packed_rows.lengths)]).view(-1, 2)


def _plain_logps(causal: Any, row: Row) -> torch.Tensor:
    sums = []
    for continuation in row.continuations:
        ids = torch.tensor([row.context + continuation], device=causal.device)
        logits = causal(input_ids=ids, use_cache=False).logits[0, -len(continuation) - 1 : -1].float()
        logprobs = logits.log_softmax(-1).gather(-1, ids[0, -len(continuation) :, None])
        sums.append(logprobs.sum())
    return torch.stack(sums)


def reference_logps(
    causal: Any, rows: Sequence[Row], cache: ReferenceCache, dtype: torch.dtype, packed: bool = True
) -> list[tuple[float, float]]:
    """The reference's log-probabilities (nats) of each row's responses: from the cache, else computed and kept there.

    A row's responses are computed in the order of their tokens, whichever is chosen, so that it does not matter to the
    last bit who asked first: this persona, its opposite or a control.
    """
    known = cache.get(key for row in rows for key in _keys(row))
    todo = sorted((row for row in rows if any(k not in known for k in _keys(row))), key=lambda r: r.n_tokens)
    at_once = 8
    if causal.device.type == "cpu":
        # In an order of this process's own, so that two processes that train at once share the work.
        at_once = 2 * rows_at_once(causal, todo)
        random.Random(os.getpid()).shuffle(todo)
    with bar(len(todo), "reference", "pair", quiet=not todo) as progress:
        for start in range(0, len(todo), at_once):
            part = [Row(row.context, sorted(row.continuations)) for row in todo[start : start + at_once]]
            keys = [key for row in part for key in _keys(row)]
            if len(there := cache.get(keys)) == len(keys):
                known |= there
                progress.update(len(part))
                continue
            logps = response_logps(causal, part, dtype, packed).flatten().tolist()
            new = dict(zip(keys, logps, strict=True))
            cache.put(new)
            known |= new
            progress.update(len(part))
    return [(known[chosen], known[rejected]) for chosen, rejected in map(_keys, rows)]


def row_of(example: Mapping[str, Any]) -> Row:
    """A tokenized pair as a row: the prompt, then chosen and rejected."""
    return Row(tuple(example["prompt_ids"]), [tuple(example["chosen_ids"]), tuple(example["rejected_ids"])])


def _keys(row: Row) -> list[str]:
    """What the log-probability of each response depends on, besides the model: to the last bit, on its partner too."""
    pair = sorted(row.continuations)
    return [hashlib.sha256(repr((LAYOUT, row.context, pair, c)).encode()).hexdigest() for c in row.continuations]


def _collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
    reference = [[example[column] for column in REFERENCE_COLUMNS] for example in examples]
    return {"rows": [row_of(example) for example in examples], "reference": torch.tensor(reference)}


def reference_cache(base: BaseModel, dtype: torch.dtype) -> ReferenceCache:
    """The cache of a base model's log-probabilities in one precision."""
    name = str(dtype).removeprefix("torch.")
    return ReferenceCache(cache_dir() / "reference" / f"{base.digest[:16]}-{name}.sqlite")


class ReferenceCache(KeptValues):
    """Log-probabilities of responses under a base model, kept in an SQLite file that processes may share.

    Args:
        path: the file; one a base model and precision.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "logps")
