"""Which trainer does the work: the one that was asked for, or, with `auto`, the one that suits this machine best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lapd.errors import UsageError
from lapd.hookspecs import Trainer
from lapd.pluginmanager import lookup, registry
from lapd.train.config import AUTO, TrainConfig
from lapd.train.together import processes


@dataclass(frozen=True)
class Choice:
    """A trainer, and why it was chosen; "" if it was asked for by its name."""

    trainer: Trainer
    why: str = ""


def choose_trainer(config: TrainConfig) -> Choice:
    """The trainer for `config`.

    Raises:
        UnknownNameError: nobody registered it.
        UsageError: it, or with `auto` every one, cannot run here or not with these settings.
    """
    if config.trainer.lower() != AUTO:
        trainer = lookup("trainers", config.trainer)
        if reason := _why_not(trainer, config):
            raise UsageError(f"Trainer {trainer.name} cannot run here: {reason}")
        return Choice(trainer)
    trainers = candidates()
    reasons = {name: reason for name, trainer in trainers.items() if (reason := _why_not(trainer, config))}
    not_these = " ".join(f"Not {name}: {reason}" for name, reason in reasons.items())
    able = [trainer for name, trainer in trainers.items() if name not in reasons]
    if not able:
        raise UsageError(f"No trainer can run here. {not_these}".strip())
    best = max(able, key=lambda trainer: _preference(trainer)[0])
    return Choice(best, f"{_preference(best)[1]}. {not_these}".strip())


def candidates() -> Mapping[str, Trainer]:
    """The trainers that `auto` may choose, by name: those whose preference is not below 0."""
    return {name: t for name, t in sorted(registry("trainers").items()) if _preference(t)[0] >= 0}


def _why_not(trainer: Trainer, config: TrainConfig) -> str | None:
    if processes() > 1 and not getattr(trainer, "together", False):
        return f"it takes no part in one training on {processes()} processes."
    refuses = getattr(trainer, "refuses", None)
    return trainer.unavailable() or (refuses(config) if refuses else None)


def _preference(trainer: Trainer) -> tuple[float, str]:
    preference = getattr(trainer, "preference", None)
    return preference() if preference else (0, "it can run here")
