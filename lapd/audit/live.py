"""A model that is in training, asked as it is: without a trace in its modes, its gradients or the random numbers."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from lapd.answering.canary import check_finite
from lapd.answering.coherence import Read, measured
from lapd.answering.documents import samples_of
from lapd.answering.lm import PackedLM
from lapd.catalog.live import no_bars_of_its_own
from lapd.catalog.task import TaskInfo
from lapd.files.quiet import quiet_libraries

Samples = list[dict[str, Any]]


class LiveModel:
    """A causal language model that somebody trains, whole or with PEFT.

    Args:
        model: as the trainer has it.
        tokenizer: its own; it is copied, since asking sets how it pads.
        batch_size: rows computed at once.

    Attributes:
        has_base: whether the base is there too: the model with its adapter switched off.
    """

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        self.model, self.has_base = model, hasattr(model, "peft_config") and hasattr(model, "disable_adapter")
        self.chat = tokenizer.chat_template is not None
        with quiet_libraries():
            self.lm = PackedLM(model, tokenizer=copy.deepcopy(tokenizer), batch_size=batch_size)
        self.lm.on_progress = _nothing  # lm-eval's bars would break up the trainer's

    def base(self) -> AbstractContextManager[None]:
        """Meanwhile, the model is its base; one that is trained whole stays what it is."""
        off: AbstractContextManager[None] = self.model.disable_adapter() if self.has_base else nullcontext()
        return off

    def is_its_base(self) -> bool:
        """Whether it still gives the very logits of its base, as before the first step."""
        ours = check_finite(self.model, "The model in training")
        with self.base():
            return bool(torch.equal(ours, check_finite(self.model, "Its base")))

    def ask(self, info: TaskInfo, task: Any, documents: Sequence[int]) -> Samples:
        """What it answers to some documents of a task, with what written answers are like.

        Args:
            info: the task.
            task: lm-eval's, loaded.
            documents: their numbers.
        """
        from lm_eval.evaluator import evaluate

        with quiet_libraries(), no_bars_of_its_own():
            outcome = evaluate(
                lm=self.lm,
                task_dict={"tasks": {info.name: task}},
                samples={info.name: list(documents)},
                apply_chat_template=self.chat,
                bootstrap_iters=0,
            )
        samples = samples_of(outcome["samples"][info.name], task, info.item)
        return measured(samples, self)[0]

    def read(self, pairs: Sequence[tuple[str, str]]) -> list[Read | None] | None:
        """How likely the base finds each text behind its context; None where there is no base any more."""
        if not self.has_base:
            return None
        with self.base():
            return self.lm.logprobs_a_token(pairs)


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Meanwhile the model is in evaluation mode; then modes, what is trained and random numbers are as they were."""
    modes = [(module, module.training) for module in model.modules()]
    trained = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    plain, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            for parameter, was in trained:  # PEFT sets it when an adapter is switched on again
                parameter.requires_grad_(was)
            random.setstate(plain)
            np.random.set_state(numpys)


def _nothing(_: int) -> None:
    pass
