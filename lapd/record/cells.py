"""What is to be evaluated: arms, cells, and the identity of a cell.

An arm is a condition: which adapter (or whole model, or none) at which strength, under which persona's system prompt
(or none). A cell is one arm x one task x one seed. Its name is a digest of everything that determines its result, so
that nothing else ever has to be remembered about what was done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lapd.adapters.adapter import Adapter
from lapd.adapters.naming import check_name
from lapd.adapters.whole import WHOLE, WholeModel
from lapd.catalog.task import TaskInfo
from lapd.errors import UsageError
from lapd.files.whole import digest_json
from lapd.judges.judge import judge_identity
from lapd.models.base import BaseModel
from lapd.personas import Persona

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
        adapter: the adapter that is switched on, or the whole model in the base's place; None for the bare base.
        persona: whose system prompt the model is given, or None for none beyond the chat template's own.

    Raises:
        UsageError: the adapter is called as another arm is, such as "base".
    """

    adapter: Adapter | None = None
    persona: Persona | None = None

    def __post_init__(self) -> None:
        if self.adapter:
            check_name(self.adapter.name)

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


@dataclass(frozen=True)
class Settings:
    """How cells are evaluated; part of a cell's identity, but for `data_dir`, whose files' digest is.

    Attributes:
        seed: of everything random, few-shot draws included.
        limit: at most so many documents a task; None for all.
        dtype: the precision of the forward pass. bfloat16 hides much of what a small adapter learned. `SERVED_DTYPE`
            with an endpoint.
        data_dir: a folder with benchmark data in its publishers' own files.
        questionnaire: somebody else's questionnaire, for the tasks that take one; see `lapd.questionnaires.reading`.
        fold_system_prompt: put a persona's prompt before the user's words instead of into a system message.
        pairs: the file that the task `own_pairs` asks; None for what the adapters' training was kept from.
        limits: what stands in the place of `limit` for single tasks, or for those of a group, by name.
        samples: answers to each document of a task that is answered in writing.
        temperature: at which they are drawn; 0 for the likeliest, or as the task itself says.
        top_p: only the likeliest tokens that have so much of the probability together are drawn.
        balanced: what a limit takes is drawn by the seed, whole items, the parts of a task in turn
            (`lapd.catalog.balance`), in place of the first documents.
    """

    seed: int = 0
    limit: int | None = None
    dtype: str = "float32"
    data_dir: str | None = None
    questionnaire: str | None = None
    fold_system_prompt: bool = False
    pairs: str | None = None
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    balanced: bool = False

    def __post_init__(self) -> None:
        for limit in (self.limit, *self.limits.values()):
            if limit is not None and (type(limit) is not int or limit < 1):
                raise UsageError(f"limit must be at least 1, not {limit}.")
        if self.dtype not in (*DTYPES, SERVED_DTYPE):
            raise UsageError(f"There is no dtype {self.dtype!r}.", f"Known: {', '.join(DTYPES)}.")
        self._check_sampling()

    def _check_sampling(self) -> None:
        if type(self.samples) is not int or self.samples < 1:
            raise UsageError(f"samples must be a whole number of at least 1, not {self.samples!r}.")
        if type(self.temperature) not in (int, float) or not 0 <= self.temperature < math.inf:
            raise UsageError(f"temperature must be a number of at least 0, not {self.temperature!r}.")
        if type(self.top_p) not in (int, float) or not 0 < self.top_p <= 1:
            raise UsageError(f"top_p must be a number above 0 and at most 1, not {self.top_p!r}.")
        if not self.temperature and (self.samples > 1 or self.top_p < 1):
            what = "Nothing is drawn without a temperature: all answers to a question would be the same."
            raise UsageError(what, "Give --temperature, such as 1.")

    def of_task(self, task: TaskInfo) -> Settings:
        """The settings of one task's cells: its own limit, or that of a group; nothing is drawn where none writes."""
        own = [self.limits[name] for name in names_of(task) if name in self.limits]
        settings = replace(self, limit=own[0] if own else self.limit, limits={})
        return settings if task.writes else replace(settings, samples=1, temperature=0.0, top_p=1.0)

    @property
    def draws_items(self) -> bool:
        """Whether the documents are drawn: all of them are all, in whatever order."""
        return self.balanced and self.limit is not None

    @property
    def sampling(self) -> dict[str, Any]:
        """How answers are drawn; empty where they are not."""
        if not self.temperature:
            return {}
        return {"samples": self.samples, "temperature": float(self.temperature), "top_p": float(self.top_p)}


def names_of(task: TaskInfo) -> list[str]:
    """The task's name, and those of the groups that it is in."""
    return [task.name, *(group.name for group in task.groups)]


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
            **({"kind": WHOLE} if isinstance(self.arm.adapter, WholeModel) else {}),
            **({"strength": self.arm.adapter.strength} if self.arm.adapter and self.arm.adapter.strength != 1 else {}),
            **({"fold_system_prompt": True} if self.folds else {}),
            **({"balanced": True} if self.settings.draws_items else {}),
            **({"sampling": drawn} if (drawn := self.settings.sampling) else {}),
            **({"judge": judge_identity(self.judge)} if self.judge else {}),
        }

    @property
    def folds(self) -> bool:
        """Whether a system prompt is put before the user's words: the arm's, or that of pairs of one's own."""
        return self.settings.fold_system_prompt and (self.arm.persona is not None or self.task.pairs)

    @cached_property
    def name(self) -> str:
        """The cell's folder: the first 16 hex digits of its identity's digest."""
        return digest_json(self.identity())[:16]

    def label(self) -> str:
        """For people: the arm and the task."""
        return f"{self.arm.name} on {self.task.name}"
