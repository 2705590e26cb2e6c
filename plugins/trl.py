"""The trainer `trl`: TRL's DPOTrainer with a PEFT LoRA adapter, on a CPU or a GPU."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.plugins import dpo

from lapd.files.quiet import quiet_libraries
from lapd.hookspecs import Trainer, TrainResult
from lapd.models.base import BaseModel
from lapd.models.loading import load_base
from lapd.pairs.pair import PreferencePair
from lapd.pluginmanager import hookimpl
from lapd.train.config import TrainConfig
from lapd.train.together import processes

if TYPE_CHECKING:
    from trl import DPOTrainer


class LoadedBase:
    """The base model in memory, kept for the next training while `keeping`."""

    def __init__(self) -> None:
        self.keeping = False
        self._kept: tuple[Any, ...] | None = None

    def take(self, base: BaseModel, config: TrainConfig) -> tuple[Any, Any]:
        """The model, bare, and its tokenizer."""
        # Checkpointing leaves hooks in the model, so that a training without it gets a model of its own.
        wanted = (base.digest, config.gradient_checkpointing)
        kept, self._kept = self._kept, None
        # What is shared out among GPUs need not fit one: each takes its part from the processor's memory.
        return kept[1:] if kept and kept[0] == wanted else load_base(base, device="cpu" if dpo.is_sharded() else None)

    def give_back(self, base: BaseModel, config: TrainConfig, model: Any, tokenizer: Any) -> None:
        """Take the LoRA layers out of the model, if it has any, and keep it, if another training may follow."""
        from lapd.plugins.lean import undo_lean

        if self.keeping:
            undo_lean(model)
            bare = model.unload() if hasattr(model, "peft_config") else model
            self._kept = ((base.digest, config.gradient_checkpointing), bare.eval(), tokenizer)
            # A Trainer refers to itself in circles: without this, several would be in memory.
            gc.collect()

    def forget(self) -> None:
        """Let go of it."""
        self.keeping, self._kept = False, None


class TrlTrainer:
    """TRL's DPOTrainer, on packed rows where the base model takes them.

    Args:
        heldout: pairs to be scored while training.
        bases: the base model in memory.
    """

    name = "trl"
    description = "TRL's DPOTrainer with PEFT LoRA, anywhere"
    conversations = True
    together = True

    def __init__(self, heldout: Sequence[PreferencePair] = (), bases: LoadedBase | None = None) -> None:
        self._heldout = heldout
        self._bases = bases or LoadedBase()

    def unavailable(self) -> str | None:
        missing = [package for package in ("torch", "trl", "peft") if find_spec(package) is None]
        return f"{', '.join(missing)} not installed; pip install lapd brings it." if missing else None

    def preference(self) -> tuple[float, str]:
        return 1, "it runs on any machine"

    def refuses(self, config: TrainConfig) -> str | None:
        if dpo.is_sharded() and (config.stop_rule or config.eval_every):
            return "it scores no held-out pairs on a base that is sharded. Leave --eval-every and --stop-when out."
        hint = "Leave it out, or give a trainer that has it (unsloth, on a CUDA GPU)."
        return f"it has no --load-in-4bit. {hint}" if config.load_in_4bit else None

    def scoring(self, pairs: Sequence[PreferencePair]) -> Trainer:
        return TrlTrainer(pairs, self._bases)

    @contextmanager
    def keep_base(self) -> Iterator[None]:
        self._bases.keeping = True
        try:
            yield
        finally:
            self._bases.forget()

    def train(
        self, config: TrainConfig, base: BaseModel, pairs: Sequence[PreferencePair], work: Path, adapter: Path
    ) -> TrainResult:
        with quiet_libraries(), dpo.memory_advice(config):
            model, tokenizer = self._bases.take(base, config)
            trainer = _make_trainer(config, base, model, tokenizer, pairs, self._heldout, work)
            result = dpo.run(trainer, config, base, work, adapter)
            self._bases.give_back(base, config, trainer.accelerator.unwrap_model(trainer.model), tokenizer)
        return result


def _make_trainer(
    config: TrainConfig,
    base: BaseModel,
    model: Any,
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    heldout: Sequence[PreferencePair],
    work: Path,
) -> DPOTrainer:
    from datasets import Dataset
    from lapd.plugins.layers import without_dropout
    from lapd.plugins.packed_dpo import PackedDPOTrainer, reference_cache, row_of
    from lapd.plugins.packing import Packing
    from lapd.plugins.rendering import token_rows
    from lapd.plugins.watch import Heldout
    from peft import LoraConfig
    from torch import bfloat16, float32
    from transformers import set_seed
    from trl import DPOTrainer

    from lapd.models.chat import check_chat_template

    check_chat_template(tokenizer, base.name)
    rows = token_rows(pairs, tokenizer, config.max_length)
    dpo.refuse_unknown_tokens(rows, tokenizer, model)
    without_dropout(model)
    packing = None if dpo.is_sharded() else Packing(model, config.gradient_checkpointing)
    packed = packing is not None and packing.takes([row_of(row) for row in rows])
    scores = Heldout(heldout, tokenizer, base, config, packing) if heldout and packing else None
    set_seed(config.seed)
    common = {
        "model": model,
        "processing_class": tokenizer,
        "peft_config": LoraConfig(**dpo.lora_arguments(config, base, model), task_type="CAUSAL_LM"),
        "callbacks": [dpo.watch(f"train {config.name}", scores)],
    }
    if not packed:
        # A reference that TRL computes ahead lies in a temporary folder of each process's own, and one writes it.
        more: dict[str, Any] = {**dpo.share_of_batch(config), "precompute_ref_log_probs": processes() == 1}
        if dpo.is_sharded():
            more |= {"use_cpu": False, "bf16": dpo.use_bfloat16(config.precision, "cuda")}
        if processes() > 1:
            print(f"{config.name}: rows are not packed, each process trains in TRL's own way.", file=sys.stderr)
        dataset = Dataset.from_list([dpo.conversation(pair, tokenizer) for pair in pairs])
        return DPOTrainer(args=dpo.dpo_arguments(config, work, model, **more), train_dataset=dataset, **common)
    arguments = dpo.dpo_arguments(config, work, model, precompute_ref_log_probs=False)
    common |= {"args": arguments, "train_dataset": Dataset.from_list(rows), "batch_rows": config.rows_at_once}
    cache = reference_cache(base, bfloat16 if arguments.bf16 else float32)
    if processes() > 1:
        from lapd.plugins.shared_dpo import SharedDPOTrainer

        return SharedDPOTrainer(cache, **common)
    return PackedDPOTrainer(cache, **common)


@hookimpl
def lapd_register_trainers(register: Callable[[Trainer], None]) -> None:
    register(TrlTrainer())
