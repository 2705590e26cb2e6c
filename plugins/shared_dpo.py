"""DPO on packed rows by several processes, each with the whole model: they share out the rows of every batch.

Every process goes through the batches of a training on one, computes its share of the rows, and all add up their
gradients before the optimizer moves. So the steps, the losses and the log are those of one process, to rounding, and
nothing has to divide evenly.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.distributed
from lapd.plugins.packed_dpo import PackedDPOTrainer, whole_of


class SharedDPOTrainer(PackedDPOTrainer):
    """`PackedDPOTrainer` in each of several processes, which torch.distributed connects."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rank, self._ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._noted: list[tuple[torch.Tensor, torch.Tensor]] = []
        # What is wrapped would add up gradients by itself, at every row's backward pass.
        self.accelerator.prepare_model = partial(self.accelerator.prepare_model, evaluation_mode=True)
        for weight in self._trained():
            torch.distributed.broadcast(weight.data, 0)

    def _trained(self) -> list[torch.nn.Parameter]:
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def get_train_dataloader(self) -> Any:
        """Every batch, whole, as on one process."""
        batches = super().get_train_dataloader()
        shard = batches.batch_sampler
        shard.num_processes, shard.process_index, shard.even_batches = 1, 0, False
        return batches

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """The batch's loss (nats), of which this process computes its share; before a step gradients are added up."""
        rows, mine = inputs["rows"], slice(self._rank, None, self._ranks)
        loss = torch.zeros((), device=self.args.device)
        if rows[mine]:
            share = {"rows": rows[mine], "reference": inputs["reference"][mine], "whole": whole_of(rows)}
            loss = super().training_step(model, share)
        self._share_numbers(loss, len(rows), mine)
        if self.accelerator.sync_gradients:
            for weight in self._trained():
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                torch.distributed.all_reduce(weight.grad)
        return loss

    def _share_numbers(self, loss: torch.Tensor, rows: int, mine: slice) -> None:
        """Add up the loss in place, and note of every row what it came to, in the batch's order."""
        numbers = torch.zeros(rows, 4, device=loss.device)
        if self._noted:
            numbers[mine] = torch.cat([torch.cat(pair, -1) for pair in self._noted]).to(numbers)
        self._noted.clear()
        torch.distributed.all_reduce(loss)
        torch.distributed.all_reduce(numbers)
        super()._note(numbers[:, :2], numbers[:, 2:])

    def _note(self, logps: torch.Tensor, ratios: torch.Tensor) -> None:
        self._noted.append((logps, ratios))
