"""`lapd.AuditCallback`: the small audit during anybody's training with transformers or TRL."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import CallbackHandler

from lapd.audit.live import LiveModel, undisturbed
from lapd.audit.small import SmallAudit
from lapd.errors import DataError, LapdError, UsageError, first_line
from lapd.files.whole import read_record, write_json
from lapd.names import get_persona

TASKS = ("situations", "situations_open", "pressure")
"""Held-out choices between a trait's poles, whether what is written stays coherent, and errors under pressure."""

NOTED = "audit_base.json"
"""In the training's output folder: what a model that is trained whole answered before its first step."""

SCHEMA = "lapd.audit_base/1"


class AuditCallback(TrainerCallback):
    """What a training does to the model, while it does it: trait, coherence, pressure, logged beside the loss.

    Before the first step, every so many steps and at the end, a few dozen items are asked of the model as it is, and
    held against its base: of a PEFT model that is the model with the adapter off, of one that is trained whole what it
    answered before its first step. The numbers go where the trainer's own go (`report_to`, `state.log_history`), as
    `audit/TASK/METRIC/level`, and `change`, `low` and `high` for the difference to the base with its 95 % interval.
    The training itself is the same with it and without.

    Args:
        every: steps between two audits.
        tasks: which tasks: any that need no judge, and no pairs of one's own.
        minutes: that one audit may take; how many items it has follows from how fast the first ones went.
        persona: a persona's code, towards whose poles the trait counts; without it each axis is told of.
        batch_size: rows computed at once.
        seed: of the draw of items.

    Raises:
        UsageError: a number is out of its range, or no task is named.
        UnknownNameError: there is no such persona.
    """

    def __init__(
        self,
        every: int = 100,
        tasks: str | Sequence[str] = TASKS,
        minutes: float = 2.0,
        persona: str | None = None,
        batch_size: int = 16,
        seed: int = 0,
    ) -> None:
        if type(every) is not int or every < 1:
            raise UsageError(f"every must be a whole number of steps, at least 1, not {every!r}.")
        if not minutes > 0:
            raise UsageError(f"minutes must be above 0, not {minutes!r}.")
        self.every, self.minutes, self.batch_size, self.seed = every, minutes, batch_size, seed
        self.tasks = [tasks] if isinstance(tasks, str) else list(tasks)
        if not self.tasks:
            raise UsageError("An audit has at least one task.", f"Such as tasks={TASKS!r}.")
        self.persona = get_persona(persona) if persona else None
        self._audit: SmallAudit | None = None
        self._last = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask the base, and log where the model stands.

        Raises:
            LapdError: a task or the model cannot be asked, or the time is too short; nothing was trained yet.
        """
        self._audit, self._last = None, -1
        if not state.is_world_process_zero:
            return
        _check_whole_here(args)
        began, model = time.monotonic(), kwargs["model"]
        tokenizer = getattr(kwargs["processing_class"], "tokenizer", kwargs["processing_class"])
        with undisturbed(model), tempfile.TemporaryDirectory(prefix="lapd-audit-") as folder:
            tokenizer.save_pretrained(folder)
            live = LiveModel(model, tokenizer, self.batch_size)
            audit = SmallAudit(live, self.tasks, self.persona, 60 * self.minutes, folder, self.seed)
            noted = Path(args.output_dir) / NOTED
            if not live.has_base and state.global_step:
                self._take_up(audit, noted)
                found = audit.ask()
            else:
                base = audit.begin()
                found = base if live.is_its_base() else audit.ask()
                if not live.has_base:
                    write_json(noted, {"schema": SCHEMA, "tasks": self.tasks, "items": audit.items, "base": base})
        self._audit = audit
        self._log(_caller(), args, state, control, audit.logs(found), began)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Audit, every so many steps and after the last one."""
        # Reporters close their books when training ends: the last audit has to come before.
        is_last = control.should_training_stop or 0 < state.max_steps <= state.global_step
        if is_last or state.global_step % self.every == 0:
            self._again(_caller(), args, state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Audit where training was stopped in between."""
        if self._last != state.global_step:
            self._again(_caller(), args, state, control)
        self._audit = None

    def _again(self, handler: Any, args: Any, state: Any, control: Any) -> None:
        """One audit; a training is not lost to one that fails."""
        if self._audit is None:
            return
        began = time.monotonic()
        try:
            with undisturbed(self._audit.live.model):
                logs = self._audit.logs(self._audit.ask())
        except (LapdError, RuntimeError) as error:  # torch's, out of memory included, are of the second kind
            print(f"Warning: no audit at step {state.global_step}: {first_line(error)}", file=sys.stderr)
            return
        self._log(handler, args, state, control, logs, began)

    def _log(self, handler: Any, args: Any, state: Any, control: Any, found: dict[str, float], began: float) -> None:
        """Into the log history and to whatever the trainer reports to, as `Trainer.log` does.

        That itself is not called: TRL's adds the means of its own metrics to whatever comes first, and begins anew.
        """
        self._last = state.global_step
        logs = {f"audit/{name}": value for name, value in found.items()}
        logs["audit/seconds"] = round(time.monotonic() - began, 1)
        if state.epoch is not None:
            logs["epoch"] = state.epoch
        state.log_history.append({**logs, "step": state.global_step})
        if handler is not None:
            due = control.should_log  # the handler takes every log for the one that was due
            handler.on_log(args, state, control, logs)
            control.should_log = due

    def _take_up(self, audit: SmallAudit, noted: Path) -> None:
        """What the base answered, noted when the training began that now goes on; without it there are no changes."""
        with suppress(DataError, KeyError):
            record = read_record(noted, SCHEMA)
            if record["tasks"] == self.tasks:
                audit.base, audit.items = record["base"], int(record["items"])
                return
        what = f"{noted} does not say what the model answered before its first step: only levels are logged."
        print(f"Warning: {what}", file=sys.stderr)


def _caller() -> Any:
    """The trainer's callback handler, which has called the method that calls this; None where something else has.

    It knows the reporters, and callbacks are given nothing else that does.
    """
    frame = sys._getframe(2)
    caller = frame.f_locals.get("self")
    return caller if isinstance(caller, CallbackHandler) else None


def _check_whole_here(args: Any) -> None:
    """Refuse a training of which this process has only a part of the model.

    Raises:
        UsageError: its weights are sharded.
    """
    config = getattr(args, "deepspeed_plugin", None)
    if getattr(args, "fsdp", None) or (config is not None and config.zero_stage == 3):
        raise UsageError(
            "AuditCallback needs the whole model in one process, and FSDP or ZeRO-3 shards it.",
            "Audit its checkpoints afterwards: lapd audit CHECKPOINT-*",
        )
