"""The assertion for trainers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from lapd.adapters.steering import is_steering, read_steering, steer, unsteer
from lapd.hookspecs import Trainer, TrainResult
from lapd.pairs.messages import Turn
from lapd.pairs.pair import PreferencePair
from lapd.testing.demands import demand, demand_json, demand_parts
from lapd.testing.tiny import SMALL, make_tiny_base, some_pairs

if TYPE_CHECKING:
    from lapd.models.base import BaseModel
    from lapd.train.config import TrainConfig

FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What PEFT's adapters are made of; a steering vector has one file of its own in their place."""

HISTORY = (Turn("user", "Good morning."), Turn("assistant", "Good morning to you."))
"""What is said before the prompt, for trainers that take conversations."""


def assert_trainer(trainer: Trainer, folder: Path, **settings: Any) -> Path:
    """Assert that a trainer keeps the contract on a tiny model, and return the folder of the adapter that it wrote.

    It trains four pairs for two steps, writes an adapter that loads onto the base (PEFT's LoRA, or a steering vector),
    changes nothing of the base, and says what it did. Given the same `work` again, it goes on from there. Parts that it
    may have are tried where it has them: `preference`, `refuses`, `keep_base`, `scoring`, `conversations`.

    Args:
        trainer: as it is registered.
        folder: an empty one, such as pytest's `tmp_path`.
        settings: others of `lapd.TrainConfig` than those of a training of two steps.

    Raises:
        AssertionError: it does not; the message says what is wrong.
        SkipTest: it cannot run on this machine, as it says itself; pytest counts the test as skipped.
        LapdError: what the trainer itself raises.
    """
    __tracebackhide__ = True
    from lapd.models.base import check_unchanged, resolve_base
    from lapd.train.config import TrainConfig

    who = demand_parts(trainer, "trainer", "unavailable", "train")
    reason = trainer.unavailable()
    demand(reason is None or (isinstance(reason, str) and reason), f"{who}: unavailable() is None, or says why")
    if reason:
        raise SkipTest(f"{who} cannot run here: {reason}")
    base = resolve_base(str(make_tiny_base(folder / "base")))
    config = TrainConfig("INFP", base=base.name, trainer=trainer.name, **{**SMALL, **settings})
    _demand_choice(trainer, config, who)
    adapter = _train(trainer, config, base, folder, "adapter", who)
    _demand_loads(base, adapter, who)
    _train(trainer, config, base, folder, "again", f"{who}, given the same work folder again")
    if hasattr(trainer, "keep_base"):
        with trainer.keep_base():
            _train(trainer, config, base, folder / "kept", "adapter", f"{who}, with the base kept")
    if hasattr(trainer, "scoring"):
        _demand_scores(trainer, config, base, folder / "scored", who)
    if getattr(trainer, "conversations", False):
        said = [replace(pair, system="You are brief.", history=HISTORY) for pair in some_pairs(SMALL["pairs"])]
        _train(trainer, config, base, folder / "talk", "adapter", f"{who}, on conversations", said)
    check_unchanged(base)
    return adapter


def _demand_choice(trainer: Any, config: TrainConfig, who: str) -> None:
    """What the trainer says when one is chosen."""
    __tracebackhide__ = True
    if hasattr(trainer, "preference"):
        said = trainer.preference()
        is_pair = isinstance(said, tuple) and len(said) == 2
        known = is_pair and isinstance(said[0], (int, float)) and isinstance(said[1], str) and said[1].strip()
        demand(known, f"{who}: preference() returns a number and why, not {said!r}")
    if hasattr(trainer, "refuses"):
        reason = trainer.refuses(config)
        demand(reason is None or isinstance(reason, str), f"{who}: refuses() is None, or says why")
        demand(not reason, f"{who} refuses a training of two steps on a tiny model: {reason}; give other settings")


def _train(
    trainer: Any,
    config: TrainConfig,
    base: BaseModel,
    folder: Path,
    name: str,
    who: str,
    pairs: Sequence[PreferencePair] = (),
) -> Path:
    """The folder of an adapter that was trained now, held to the contract."""
    __tracebackhide__ = True
    work, adapter = folder / "work", folder / name
    work.mkdir(parents=True, exist_ok=True)
    adapter.mkdir()
    _demand_result(trainer.train(config, base, pairs or some_pairs(config.pairs or 4), work, adapter), who)
    missing = [] if is_steering(adapter) else [file for file in FILES if not (adapter / file).is_file()]
    demand(not missing, f"{who}: it writes no {' and no '.join(missing)} into the adapter's folder")
    demand(not (adapter / "run_card.json").exists(), f"{who}: it writes a run card, which LAPD does from the result")
    return adapter


def _demand_result(result: TrainResult, who: str) -> None:
    __tracebackhide__ = True
    demand(isinstance(result, TrainResult), f"{who}: train() returns a TrainResult, not {type(result).__name__}")
    demand(result.log, f"{who}: its log is empty; enter at least the last step and its loss")
    for entry in result.log:
        for key in ("step", "loss"):
            number = entry.get(key)
            finite = isinstance(number, (int, float)) and math.isfinite(number)
            demand(finite or (key == "loss" and "heldout_margin" in entry), f"{who}: an entry of its log has no {key}")
    texts = all(isinstance(part, str) for pair in result.versions.items() for part in pair)
    demand(result.versions and texts, f"{who}: its versions are those of the packages that did the work, by name")
    demand_json(result.log, f"{who}: its log")
    demand_json(result.settings, f"{who}: its settings")


def _demand_loads(base: BaseModel, adapter: Path, who: str) -> None:
    __tracebackhide__ = True
    import torch
    from peft import PeftModel

    from lapd.files.quiet import quiet_libraries
    from lapd.files.whole import read_json
    from lapd.models.loading import load_base

    if is_steering(adapter):
        causal = load_base(base, device="cpu")[0]
        steer(causal, read_steering(adapter))
        unsteer(causal)
        return
    named = read_json(adapter / FILES[0]).get("base_model_name_or_path")
    demand(named == base.upstream, f"{who}: adapter_config.json names the base {named!r}; write `base.upstream`")
    with quiet_libraries():
        model = PeftModel.from_pretrained(load_base(base, device="cpu")[0], str(adapter))
    trained = {name: value for name, value in model.named_parameters() if "lora_" in name}
    demand(trained, f"{who}: the adapter has no LoRA matrices for this base")
    wrong = [name for name, value in trained.items() if not torch.isfinite(value).all()]
    demand(not wrong, f"{who}: the adapter has weights that are no numbers, such as {wrong[:1]}")


def _demand_scores(trainer: Any, config: TrainConfig, base: BaseModel, folder: Path, who: str) -> None:
    __tracebackhide__ = True
    heldout = some_pairs(8)[4:]
    scoring = trainer.scoring(heldout)
    demand(scoring is not None, f"{who}: scoring() returns the trainer, not None")
    work, adapter = folder / "work", folder / "adapter"
    work.mkdir(parents=True)
    adapter.mkdir()
    log = scoring.train(replace(config, eval_pairs=len(heldout), eval_every=1), base, some_pairs(4), work, adapter).log
    found = [entry["heldout_accuracy"] for entry in log if "heldout_accuracy" in entry]
    demand(found, f"{who}: with held-out pairs to score, its log has no heldout_accuracy")
    demand(all(0 <= share <= 1 for share in found), f"{who}: a heldout_accuracy is no share from 0 to 1")
