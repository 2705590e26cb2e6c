"""What is to be evaluated: arms, cells, and the identity of a cell.

An arm is a condition: which adapter (or none) at which strength, under which persona's system prompt (or none). A cell
is one arm x one task x one seed. Its name is a digest of everything that determines its result, so that nothing else
ever has to be remembered about what was done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lapd.adapters import Adapter
from lapd.errors import UsageError
from lapd.evaluate.catalog import TaskInfo
from lapd.files import digest_json
from lapd.judges import judge_identity
from lapd.models import BaseModel
from lapd.personas import Persona, get_persona

if TYPE_CHECKING:
    from lapd.hookspecs import Judge

ARM_KINDS = ("base", "base+prompt", "adapter", "adapter+prompt")
"""The default arms. An adapter is only ever compared with its own base under the same prompt."""

DTYPES = ("float32", "bfloat16", "float16")

SERVED_DTYPE = "the server's precision"
"""What stands for a dtype where a server computes: in which one is not known here."""


@dataclass(frozen=True)
class Arm:
    """A condition of an experiment.

    Attributes:
        adapter: the adapter that is switched on, or None for the bare base.
        persona: whose system prompt the model is given, or None for none beyond the chat template's own.
    """

    adapter: Adapter | None = None
    persona: Persona | None = None

    @property
    def name(self) -> str:
        """Such as "base", "base+prompt(INFP)", "INFP", "INFP@0.5", "INFP+prompt(INFP)"."""
        model = self.adapter.label if self.adapter else "base"
        return f"{model}+prompt({self.persona.code})" if self.persona else model

    @property
    def baseline(self) -> Arm | None:
        """What this arm is compared with: its base under the same prompt; a bare prompt with no prompt at all."""
        if self.adapter:
            return Arm(None, self.persona)
        return Arm() if self.persona else None


def make_arms(adapters: Sequence[Adapter], kinds: Iterable[str] | None = None, persona: str | None = None) -> list[Arm]:
    """The arms of `kinds` for each adapter, without repetition, base arms first.

    Args:
        adapters: may be empty: then only base arms are made.
        kinds: any of `ARM_KINDS`; by default all that can be made.
        persona: whose prompt the prompted arms use; by default each adapter's own.

    Raises:
        UsageError: there is no such kind; or one was asked for that needs an adapter, or a prompt whose persona is
            not known.
    """
    asked_for = kinds is not None
    kinds = list(kinds or ARM_KINDS)
    if unknown := sorted(set(kinds) - set(ARM_KINDS)):
        raise UsageError(f"There is no arm {unknown[0]!r}.", f"Known: {', '.join(ARM_KINDS)}.")
    arms: list[Arm] = []
    subjects: Sequence[Adapter | None] = adapters or [None]
    for adapter in subjects:
        code = persona or (adapter.persona if adapter else None)
        if code is None and adapter and any("prompt" in kind for kind in kinds):
            hint = "Say whose prompt to use with --persona, or leave the prompted arms out with --arms base,adapter."
            raise UsageError(f"Adapter {adapter.name} has no run card that names its persona.", hint)
        who = get_persona(code) if code else None
        if asked_for and adapter is None and any("adapter" in kind for kind in kinds):
            raise UsageError("An arm with an adapter was asked for, but no adapter was given.", "Give --adapter.")
        if asked_for and who is None and any("prompt" in kind for kind in kinds):
            raise UsageError("A prompted arm was asked for, but not whose prompt.", "Give --persona.")
        made = {"base": Arm(), "base+prompt": who and Arm(None, who)}
        if adapter:
            made |= {"adapter": Arm(adapter), "adapter+prompt": who and Arm(adapter, who)}
        arms += [arm for kind in kinds if (arm := made.get(kind))]
    return sorted(dict.fromkeys(arms), key=lambda arm: arm.adapter is not None)


@dataclass(frozen=True)
class Settings:
    """How cells are evaluated; part of a cell's identity, but for `data_dir`, whose files' digest is.

    Attributes:
        seed: of everything random, few-shot draws included.
        limit: at most so many documents a task; None for all.
        dtype: the precision of the forward pass. bfloat16 hides much of what a small adapter learned. `SERVED_DTYPE`
            with an endpoint.
        data_dir: a folder with benchmark data in its publishers' own files.
        questionnaire: somebody else's questionnaire, for the tasks that take one; see `lapd.questionnaires`.
        fold_system_prompt: put a persona's prompt before the user's words instead of into a system message.
    """

    seed: int = 0
    limit: int | None = None
    dtype: str = "float32"
    data_dir: str | None = None
    questionnaire: str | None = None
    fold_system_prompt: bool = False

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit must be at least 1, not {self.limit}.")
        if self.dtype not in (*DTYPES, SERVED_DTYPE):
            raise UsageError(f"There is no dtype {self.dtype!r}.", f"Known: {', '.join(DTYPES)}.")


@dataclass(frozen=True)
class Cell:
    """One arm x one task x one seed on one base model; with a judge, where the task is a judged one."""

    base: BaseModel
    arm: Arm
    task: TaskInfo
    task_digest: str
    settings: Settings
    judge: Judge | None = None

    def identity(self) -> dict[str, Any]:
        """Everything that determines the result."""
        return {
            "base": self.base.digest,
            "adapter": self.arm.adapter.digest if self.arm.adapter else None,
            "system_prompt": self.arm.persona.system_prompt if self.arm.persona else None,
            "task": self.task.name,
            "task_digest": self.task_digest,
            "seed": self.settings.seed,
            "limit": self.settings.limit,
            "dtype": self.settings.dtype,
            **({"strength": self.arm.adapter.strength} if self.arm.adapter and self.arm.adapter.strength != 1 else {}),
            **({"fold_system_prompt": True} if self.folds else {}),
            **({"judge": judge_identity(self.judge)} if self.judge else {}),
        }

    @property
    def folds(self) -> bool:
        """Whether a system prompt is put before the user's words."""
        return self.settings.fold_system_prompt and self.arm.persona is not None

    @cached_property
    def name(self) -> str:
        """The cell's folder: the first 16 hex digits of its identity's digest."""
        return digest_json(self.identity())[:16]

    def label(self) -> str:
        """For people: the arm and the task."""
        return f"{self.arm.name} on {self.task.name}"


def make_cells(
    base: BaseModel, arms: Sequence[Arm], infos: Sequence[TaskInfo], settings: Settings, judge: Judge | None = None
) -> list[Cell]:
    """Every arm on every task, an adapter's cells together so that it is switched on once."""
    digests = {info.name: info.digest(settings.data_dir, settings.questionnaire) for info in infos}
    return [
        Cell(base, arm, info, digests[info.name], settings, judge if info.judged else None)
        for arm in arms
        for info in infos
    ]
