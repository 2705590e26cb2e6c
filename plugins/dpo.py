"""What every trainer that stands on TRL's DPOTrainer needs: arguments, callbacks, checkpoints, the log, saving.

Nothing heavy is imported before a function is called: a library that patches trl and transformers can be imported
first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.errors import DataError, LapdError, UsageError
from lapd.files.whole import read_json, write_json
from lapd.hookspecs import TrainResult
from lapd.models.base import BaseModel
from lapd.models.products import layer_shape, measured_products
from lapd.packed.layout import common_prefix
from lapd.pairs.pair import PreferencePair
from lapd.train.config import TrainConfig
from lapd.train.divergence import check_log
from lapd.train.together import by_first, processes

if TYPE_CHECKING:
    from lapd.plugins.watch import Heldout
    from transformers import TrainerCallback
    from trl import DPOConfig

COMPLETE = "lapd_complete"
"""An empty file that is put into a checkpoint after everything else."""

SCHEDULERS = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
"""transformers' names of our schedules: all of them begin with the warmup."""

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
"""Whose versions the run card names."""

NAMED = 5
"""So many of the pairs that are too long are named; more are counted."""


def dpo_arguments(config: TrainConfig, work: Path, model: Any, **more: Any) -> DPOConfig:
    """TRL's arguments for `config`; `work` gets the checkpoints, and `more` is added or replaces."""
    from trl import DPOConfig

    arguments: dict[str, Any] = {
        "output_dir": str(work),
        "beta": config.beta,
        # What others call rpo_alpha is a second loss here: the chosen responses' negative log-likelihood a token.
        "loss_type": [config.loss, "sft"] if config.rpo_alpha else [config.loss],
        "loss_weights": [1.0, config.rpo_alpha] if config.rpo_alpha else None,
        "label_smoothing": config.label_smoothing,
        "num_train_epochs": config.epochs,
        "learning_rate": config.lr,
        "lr_scheduler_type": SCHEDULERS[config.schedule],
        "warmup_steps": config.warmup,
        "weight_decay": config.weight_decay,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.grad_accum,
        "max_length": config.max_length,
        "bf16": by_first(lambda: use_bfloat16(config.precision, model.device.type, model)),
        "use_cpu": model.device.type == "cpu",
        _checkpointing_name(DPOConfig): config.gradient_checkpointing,
        # TRL would set LoRA's dropout to 0 with the model's own.
        "disable_dropout": not config.lora_dropout,
        "precompute_ref_log_probs": True,
        "seed": config.seed,
        "logging_steps": 1,
        # Otherwise a loss that is not a number is logged as the mean of those before it.
        "logging_nan_inf_filter": False,
        "save_steps": config.save_steps,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        **_without_router_loss(DPOConfig, model),
    }
    return DPOConfig(**{**arguments, **more})


def share_of_batch(config: TrainConfig) -> dict[str, int]:
    """What a process computes of a batch where TRL shares it out: TRL's arguments, so that a step has the same pairs.

    Raises:
        UsageError: it cannot be shared out evenly.
    """
    number = processes()
    if config.batch_size % number == 0:
        return {"per_device_train_batch_size": config.batch_size // number}
    if config.grad_accum % number == 0:
        return {"gradient_accumulation_steps": config.grad_accum // number}
    batch = f"--batch-size {config.batch_size} with --grad-accum {config.grad_accum}"
    what = f"{number} processes cannot share {batch} evenly."
    raise UsageError(what, f"Give a --batch-size that {number} divides.")


def _checkpointing_name(arguments: type) -> str:
    """What transformers calls gradient checkpointing; from 5.24 on the old name is deprecated."""
    new = "activation_checkpointing"
    return new if new in arguments.__dataclass_fields__ else "gradient_checkpointing"  # type: ignore[attr-defined]


def _without_router_loss(arguments: type, model: Any) -> dict[str, float]:
    """Leaves out the loss that keeps a router's experts busy: routers are frozen, and the preferences' loss is ours."""
    name = "router_aux_loss_coef"
    has_experts = hasattr(model.config.get_text_config(), "output_router_logits")
    return {name: 0.0} if has_experts and name in arguments.__dataclass_fields__ else {}  # type: ignore[attr-defined]


def lora_arguments(config: TrainConfig, base: BaseModel, model: Any) -> dict[str, Any]:
    """What `peft.LoraConfig` (and whoever makes one) is given.

    Raises:
        UsageError: the layers that are asked for are none of the bare `model`'s, or it has none.
    """
    from lapd.plugins.layers import target_layers

    shape = {"r": config.r, "lora_alpha": config.alpha, "lora_dropout": config.lora_dropout}
    return {**shape, **target_layers(model, base, config.target_modules)}


def conversation(pair: PreferencePair, tokenizer: Any) -> dict[str, Any]:
    """TRL's conversational columns; it applies the tokenizer's own chat template to them."""
    # The responses hold no thoughts, so models that think by default (Qwen 3) are told not to.
    thinks = "enable_thinking" in str(tokenizer.chat_template)
    return {
        "prompt": pair.messages,
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
        **({"chat_template_kwargs": {"enable_thinking": False}} if thinks else {}),
    }


def tokenize(pair: PreferencePair, tokenizer: Any) -> dict[str, list[int]]:
    """Token ids of prompt, chosen and rejected, under TRL's names and as TRL 1.14 makes them.

    The prompt ends where the three renderings of the conversation (with nothing, chosen and rejected behind it) part.
    """
    messages = conversation(pair, tokenizer)
    told = messages.get("chat_template_kwargs", {})
    prompt = _ids(tokenizer, messages["prompt"], add_generation_prompt=True, **told)
    both = [_ids(tokenizer, messages["prompt"] + messages[side], **told) for side in ("chosen", "rejected")]
    start = min(common_prefix(prompt, ids) for ids in both)
    return {"prompt_ids": prompt[:start], "chosen_ids": both[0][start:], "rejected_ids": both[1][start:]}


def _ids(tokenizer: Any, messages: list[dict[str, str]], **kwargs: Any) -> list[int]:
    return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **kwargs)["input_ids"]


def refuse_long_pairs(rows: Sequence[dict[str, list[int]]], max_length: int) -> None:
    """TRL cuts what is too long, and drops a pair whose prompt alone is; neither should happen unseen.

    Args:
        rows: from `tokenize`.
        max_length: tokens of prompt and response together.

    Raises:
        DataError: some have more; all of them are counted, and the length that takes them all is named.
    """
    lengths = [len(r["prompt_ids"]) + max(len(r["chosen_ids"]), len(r["rejected_ids"])) for r in rows]
    long = [number for number, length in enumerate(lengths, 1) if length > max_length]
    if not long:
        return
    most, least = (of(lengths[number - 1] for number in long) for of in (max, min))
    if len(long) == 1:
        message = f"it has {most} tokens, more than max_length {max_length}."
        raise DataError(f"pair {long[0]}", message, hint=f"Set --max-length {most} or leave the pair out.")
    more = f" and {len(long) - NAMED} more" if len(long) > NAMED else ""
    message = f"they have {least} to {most} tokens, more than max_length {max_length}."
    where = f"pairs {', '.join(map(str, long[:NAMED]))}{more} of {len(rows)}"
    raise DataError(where, message, hint=f"Set --max-length {most} or leave these pairs out.")


def refuse_unknown_tokens(rows: Sequence[dict[str, list[int]]], tokenizer: Any, model: Any) -> None:
    """Refuse pairs with a token that the model has no embedding for.

    Args:
        rows: from `tokenize`.
        tokenizer: that made them.
        model: the bare base.

    Raises:
        ModelError: one has, be it the chat template's own.
    """
    from lapd.models.loading import check_tokens, embeddings

    known = embeddings(model)
    for row in rows:
        check_tokens([token for ids in row.values() for token in ids], tokenizer, known)


def use_bfloat16(precision: str, device: str, model: Any = None) -> bool:
    """Whether the training passes are in bfloat16 on a device ("cpu", "cuda" or another); settles what `auto` means.

    Args:
        precision: of the configuration.
        device: its kind.
        model: the bare base, which says what a processor is to multiply.
    """
    if precision != "auto":
        return precision == "bfloat16"
    import torch

    if device == "cpu":
        return model is not None and measured_products(layer_shape(model)).faster == "bfloat16"
    return device == "cuda" and torch.cuda.is_bf16_supported()


def newest_checkpoint(work: Path) -> str | None:
    """The newest checkpoint that was written whole; a half-written one, left by a kill, is removed."""
    checkpoints = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    for path in reversed(checkpoints):
        if (path / COMPLETE).exists():
            return str(path)
        shutil.rmtree(path)
    return None


def run(
    trainer: Any, config: TrainConfig, base: BaseModel, work: Path, adapter: Path, packages: Iterable[str] = PACKAGES
) -> TrainResult:
    """Train with a ready DPOTrainer, from the newest checkpoint on, and write the adapter.

    Args:
        trainer: TRL's DPOTrainer or a subclass, with `watch` among its callbacks.
        config: what it was made for.
        base: what it trains on.
        work: the folder with the checkpoints.
        adapter: the existing folder that gets the adapter.
        packages: whose versions the run card shall name.

    Raises:
        LapdError: the training diverged.
    """
    from lapd.plugins.watch import Watch
    from transformers.trainer_callback import PrinterCallback, TrainerState

    trainer.remove_callback(PrinterCallback)
    checkpoint = by_first(lambda: newest_checkpoint(work))
    if checkpoint and _was_stopped(checkpoint, config):
        trainer._load_from_checkpoint(checkpoint)
        trainer.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    else:
        try:
            trainer.train(resume_from_checkpoint=checkpoint)
        finally:
            for callback in trainer.callback_handler.callbacks:
                if isinstance(callback, Watch):
                    callback.close()
    state = trainer.state
    log = training_log(state.log_history)
    check_log(log)
    save_adapter(trainer, base, adapter)
    settings = {"precision": "bfloat16" if trainer.args.bf16 else "float32", "steps": state.global_step}
    if processes() > 1:
        settings["processes"] = processes()
    if config.precision == "auto" and trainer.args.use_cpu:
        model = trainer.accelerator.unwrap_model(trainer.model)
        settings["products"] = measured_products(layer_shape(model)).record()
    if config.stop_rule and log and state.global_step < state.max_steps:
        settings["stopped"] = f"at step {state.global_step} of {state.max_steps}, by {config.stop_rule}"
    return TrainResult(log, {name: metadata.version(name) for name in packages}, settings)


def _was_stopped(checkpoint: str, config: TrainConfig) -> bool:
    """Whether `stop_when` had ended the training at this checkpoint, before the process was killed."""
    state = read_json(Path(checkpoint) / "trainer_state.json")
    entry = (training_log(state["log_history"]) or [{}])[-1]
    rule = config.stop_rule
    return rule is not None and entry.get("step") == state["global_step"] and rule.score in entry and rule.met(entry)


def save_adapter(trainer: Any, base: BaseModel, adapter: Path) -> None:
    """Write the trained LoRA matrices and the tokenizer into the folder `adapter`."""
    # All processes have a hand in it where the weights are shared out among them (FSDP).
    whole = trainer.accelerator.get_state_dict(trainer.model_wrapped) if is_sharded() else None
    by_first(lambda: _write_adapter(trainer, base, adapter, whole))


def is_sharded() -> bool:
    """Whether each process has a part of the base only, as accelerate's configuration file says."""
    return any(os.environ.get(f"ACCELERATE_USE_{way}", "").lower() == "true" for way in ("FSDP", "DEEPSPEED"))


def _write_adapter(trainer: Any, base: BaseModel, adapter: Path, whole: dict[str, Any] | None) -> None:
    model = trainer.accelerator.unwrap_model(trainer.model)
    # What `smollm2` means is known to LAPD alone; plain PEFT is told the model's name on the Hub.
    model.peft_config["default"].base_model_name_or_path = base.upstream
    model.peft_config["default"].revision = base.revision
    # (Nor shall PEFT ask the Hub whether that model has resized embeddings: they are not trained.)
    model.save_pretrained(adapter, state_dict=whole, selected_adapters=["default"], save_embedding_layers=False)
    # PEFT writes these sets in the order of the process's hashes; an adapter's digest covers the file.
    settings = read_json(adapter / "adapter_config.json")
    for layers in ("target_modules", "exclude_modules"):
        if isinstance(settings.get(layers), list):
            settings[layers] = sorted(settings[layers])
    write_json(adapter / "adapter_config.json", settings)
    trainer.processing_class.save_pretrained(adapter)


NAMES = {
    "loss": "loss",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "logps/chosen": "chosen_logp",
    "logps/rejected": "rejected_logp",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
    "heldout_margin": "heldout_margin",
    "heldout_accuracy": "heldout_accuracy",
}
"""What is kept of the Trainer's log, and what we call it."""


def training_log(history: Iterable[dict[str, float]]) -> list[dict[str, float]]:
    """The run card's log from the Trainer's: one entry a step, under our names."""
    log: dict[float, dict[str, float]] = {}
    for entry in history:
        if "loss" in entry or "heldout_margin" in entry:
            found = {ours: entry[theirs] for theirs, ours in NAMES.items() if theirs in entry}
            log.setdefault(entry["step"], {"step": entry["step"]}).update(found)
    return list(log.values())


def watch(what: str, heldout: Heldout | None = None) -> TrainerCallback:
    """The callback of every training: progress, marks on whole checkpoints, held-out scores, divergence.

    Args:
        what: shown in front of the bar.
        heldout: scores held-out pairs, and may end the training.
    """
    from lapd.plugins.watch import Watch

    return Watch(what, heldout)


@contextmanager
def memory_advice(config: TrainConfig) -> Iterator[None]:
    """Turn CUDA's out-of-memory error into one line that says what to change.

    Raises:
        LapdError: the GPU's memory does not suffice.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise LapdError(f"The GPU's memory does not suffice: {_present(config)}.", _advice(config)) from error


def _present(config: TrainConfig) -> str:
    how = "with" if config.gradient_checkpointing else "without"
    bits = ", 4 bit" if config.load_in_4bit else ""
    return f"batch size {config.batch_size}, at most {config.max_length} tokens, {how} gradient checkpointing{bits}"


def _advice(config: TrainConfig) -> str:
    """What helps, the cheapest first: what costs time, then what changes the result, then what costs data."""
    ways = []
    if not config.gradient_checkpointing:
        ways.append("--gradient-checkpointing")
    if config.batch_size > 1:
        half = config.batch_size // 2
        ways.append(f"--batch-size {half} --grad-accum {config.grad_accum * config.batch_size // half}")
    if not config.load_in_4bit:
        ways.append("--load-in-4bit --trainer unsloth")
    ways.append(f"--max-length {config.max_length // 2} (longer pairs have to be left out)")
    return f"Try, in this order: {'; '.join(ways)}."
