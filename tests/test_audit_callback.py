"""`lapd.AuditCallback` in stock trainings of TRL, on a tiny model: what it logs, and that it leaves no trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lapd import AuditCallback
from lapd.errors import UnknownNameError, UsageError
from lapd.files.quiet import quiet_libraries
from lapd.testing import make_tiny_base
from lapd.testing.tiny import some_pairs

SMALL: dict[str, Any] = {
    **{"max_steps": 4, "per_device_train_batch_size": 2, "learning_rate": 1e-2, "logging_steps": 1},
    **{"save_strategy": "no", "report_to": [], "disable_tqdm": True, "bf16": False, "seed": 3, "max_length": 256},
    **{"dataloader_pin_memory": False, "use_cpu": True},
}
AUDIT: dict[str, Any] = {"every": 2, "tasks": ["situations"], "minutes": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("tiny"))


def few(monkeypatch: pytest.MonkeyPatch, items: int = 8) -> None:
    monkeypatch.setattr("lapd.audit.small.MOST", items)


def train(
    kind: str, base: Path, out: Path, *callbacks: Any, lora: bool = True, resume: Path | None = None, **settings: Any
) -> Any:
    """A finished trainer of TRL's."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    set_seed(0)
    pairs = some_pairs(8)
    if kind == "dpo":
        rows = [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in pairs]
        trainer, config = DPOTrainer, DPOConfig
    else:
        rows = [{"prompt": p.prompt, "completion": p.chosen} for p in pairs]
        trainer, config = SFTTrainer, SFTConfig
    peft = LoraConfig(r=4, lora_dropout=0.1, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    with quiet_libraries():
        made = trainer(
            model=AutoModelForCausalLM.from_pretrained(base),
            args=config(output_dir=str(out), **{**SMALL, **settings}),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(base),
            peft_config=peft if lora else None,
            callbacks=list(callbacks),
        )
        made.train(resume_from_checkpoint=str(resume) if resume else None)
    return made


def audits(trainer: Any) -> dict[int, dict[str, float]]:
    return {e["step"]: e for e in trainer.state.log_history if "audit/seconds" in e}


def of_training(trainer: Any) -> list[dict[str, float]]:
    """What the trainer itself logged, but for how long things took."""
    timed = ("runtime", "per_second")
    logs = [e for e in trainer.state.log_history if "audit/seconds" not in e]
    return [{k: v for k, v in entry.items() if not k.endswith(timed)} for entry in logs]


class Reporter(AuditCallback):
    """Stands for what `report_to` brings: it only listens."""

    def __init__(self) -> None:
        self.heard: list[dict[str, float]] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        pass

    on_step_end = on_train_end = on_train_begin

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.heard.append(dict(logs))


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_a_training_with_peft_is_audited_and_is_the_same_as_without(
    kind: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    few(monkeypatch)
    reporter = Reporter()
    audited = train(kind, base, tmp_path / "with", AuditCallback(**AUDIT, persona="INFP"), reporter)
    plain = train(kind, base, tmp_path / "without")
    assert of_training(audited) == of_training(plain)
    ours, theirs = audited.model.state_dict(), plain.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert audited.model.training and all(
        p.requires_grad == q.requires_grad
        for p, q in zip(audited.model.parameters(), plain.model.parameters(), strict=True)
    )
    found = audits(audited)
    assert list(found) == [0, 2, 4]
    name = "audit/situations/log_odds_towards"
    assert found[0][f"{name}/change"] == 0 and found[4][f"{name}/change"] != 0
    assert found[4][f"{name}/low"] <= found[4][f"{name}/change"] <= found[4][f"{name}/high"]
    assert found[4]["audit/items"] == 8
    change = found[4][f"{name}/level"] - found[0][f"{name}/level"]
    assert found[4][f"{name}/change"] == pytest.approx(change, abs=1e-3)
    assert [e for e in reporter.heard if "audit/seconds" in e] == [
        {k: v for k, v in e.items() if k != "step"} for e in found.values()
    ]


def test_a_model_that_is_trained_whole_is_held_against_itself_before_its_first_step(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch, 6)
    callback = AuditCallback(every=100, tasks=("situations_open", "pressure"))
    more = {"save_strategy": "steps", "save_steps": 3}
    found = audits(train("sft", base, tmp_path, callback, lora=False, **more))
    assert list(found) == [0, 4]
    repeated, sycophancy = "audit/situations_open/repeated_4grams", "audit/pressure/sycophancy"
    assert {f"{repeated}/level", f"{sycophancy}/change"} <= found[4].keys()
    # What the base would find likely cannot be told where the base is gone.
    assert not any("base_logprob" in name for name in found[4])

    resumed = audits(train("sft", base, tmp_path, callback, lora=False, resume=tmp_path / "checkpoint-3"))
    assert list(resumed) == [0, 3, 4]
    assert resumed[4] == {**found[4], "audit/seconds": resumed[4]["audit/seconds"]}


def test_an_audit_has_as_many_items_as_its_time_allows(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = _clock(monkeypatch, seconds_an_item=2.0)
    trainer = train("sft", base, tmp_path, AuditCallback(**{**AUDIT, "every": 100, "minutes": 0.5}), max_steps=1)
    items = {e["audit/items"] for e in audits(trainer).values()}
    assert items == {15.0} and slow
    with pytest.raises(UsageError, match="has room for 5 items of each task here, and 6 are the fewest"):
        train("sft", base, tmp_path, AuditCallback(**{**AUDIT, "minutes": 1 / 6}), max_steps=1)


def _clock(monkeypatch: pytest.MonkeyPatch, seconds_an_item: float) -> Callable[[], float]:
    """Have every item take so many seconds by the audit's clock."""
    from lapd.audit.live import LiveModel

    now, ask = [0.0], LiveModel.ask

    def slower(self: LiveModel, info: Any, task: Any, documents: Any) -> Any:
        samples = ask(self, info, task, documents)
        now[0] += seconds_an_item * len({sample["item"] for sample in samples})
        return samples

    monkeypatch.setattr(LiveModel, "ask", slower)
    monkeypatch.setattr("lapd.audit.small.time.monotonic", lambda: now[0])
    return lambda: now[0]


def test_an_audit_that_fails_costs_no_training(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few(monkeypatch)
    callback = AuditCallback(**AUDIT)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    class Failing(Reporter):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            assert callback._audit is not None
            callback._audit.ask = fail  # type: ignore[method-assign,assignment]

    trainer = train("sft", base, tmp_path, callback, Failing())
    assert trainer.state.global_step == 4 and list(audits(trainer)) == [0]
    assert math.isfinite(trainer.state.log_history[-1]["train_loss"])
    assert "Warning: no audit at step 2: CUDA out of memory. Tried to allocate 2 GiB\n" in capsys.readouterr().err


def test_wrong_settings_are_refused_before_any_training() -> None:
    with pytest.raises(UsageError, match="every must be a whole number of steps"):
        AuditCallback(every=0)
    with pytest.raises(UsageError, match="minutes must be above 0"):
        AuditCallback(minutes=0)
    with pytest.raises(UsageError, match="at least one task"):
        AuditCallback(tasks=())
    with pytest.raises(UnknownNameError, match="persona"):
        AuditCallback(persona="XXXX")
