"""The contract with plugins: the hooks, what each registers, and what may be had beside it.

A plugin is a module (or object) behind an entry point of the group `lapd`. It implements any of these hooks with
`lapd.hookimpl`; LAPD's own generators, trainers, tasks, judges, personas and executors come through the same door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import pluggy

if TYPE_CHECKING:
    from lapd.models.base import BaseModel
    from lapd.pairs.pair import PreferencePair
    from lapd.personas import Persona
    from lapd.train.config import TrainConfig
    from lapd.traits.pack import TraitPack

hookspec = pluggy.HookspecMarker("lapd")

# The hooks


@hookspec
def lapd_register_generators(register: Callable[[Generator], None]) -> None:
    """Register generators of preference pairs."""


@hookspec
def lapd_register_trainers(register: Callable[[Trainer], None]) -> None:
    """Register trainers of persona adapters."""


@hookspec
def lapd_register_tasks(register: Callable[[TaskFolder], None]) -> None:
    """Register folders of lm-eval tasks."""


@hookspec
def lapd_register_judges(register: Callable[[Judge], None]) -> None:
    """Register judges of responses."""


@hookspec
def lapd_register_graders(register: Callable[[Grader], None]) -> None:
    """Register graders of responses."""


@hookspec
def lapd_register_traits(register: Callable[[TraitFolder], None]) -> None:
    """Register trait packs."""


@hookspec
def lapd_register_personas(register: Callable[[Persona], None]) -> None:
    """Register personas."""


@hookspec
def lapd_register_executors(register: Callable[[Executor], None]) -> None:
    """Register executors of cells and trainings."""


@hookspec
def lapd_register_commands(cli: click.Group) -> None:
    """Add click commands to `lapd`, with `cli.add_command` or `@cli.command()`."""


# What they register: each has a `name`, and but for a folder a `description`


class Generator(Protocol):
    """Yields preference pairs for a persona. The same arguments give the same pairs in the same order."""

    name: str
    description: str

    def generate(self, persona: Persona, *, pairs: int | None, seed: int) -> Iterable[PreferencePair]:
        """At most `pairs` pairs (None: as many as there are), chosen and ordered by `seed`."""


class Trainer(Protocol):
    """Turns preference pairs into an adapter folder: PEFT's, or one with a steering vector."""

    name: str
    description: str

    def unavailable(self) -> str | None:
        """Why this trainer cannot run on this machine, or None if it can. Imports nothing heavy."""

    def train(
        self, config: TrainConfig, base: BaseModel, pairs: Sequence[PreferencePair], work: Path, adapter: Path
    ) -> TrainResult:
        """Train on `pairs` and write the adapter to the existing folder `adapter`.

        Checkpoints go below `work`, which outlives a killed process: given the same `work` again, training goes
        on from the newest whole checkpoint.
        """


@dataclass
class TrainResult:
    """What a trainer hands back beside the adapter that it wrote.

    Attributes:
        log: one dict a logged step: `step`, `loss` (nats), and where known `margin` (beta x nats), `accuracy`,
            `heldout_margin` (nats), `heldout_accuracy`.
        versions: the packages that did the work, by name.
        settings: what the trainer settled by itself, such as the precision that `auto` came to.
    """

    log: list[dict[str, float]]
    versions: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskFolder:
    """A folder of lm-eval tasks (YAML files, at any depth).

    Attributes:
        name: what it is called.
        path: where it lies.
        topics: by a task's name, what its primary metric tells of, "safe" or "social", which the report asks of first.
        refusals: by a task's name, what its metadata would say under `refusals`. What is said here is no part of the
            task's identity: a task whose cells are there already stays the same.
    """

    name: str
    path: Path
    topics: Mapping[str, str] = field(default_factory=dict, hash=False)
    refusals: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TraitFolder:
    """A trait pack: a folder with a traits.yaml (see `lapd.traits.pack`)."""

    name: str
    path: Path


class Judge(Protocol):
    """Decides whether responses are harmful; one with `for_question`, on other questions too.

    An error on a response is a missing verdict with its reason, never a verdict.
    """

    name: str
    description: str

    def judge(self, batch: Sequence[tuple[str, str]]) -> Iterable[Verdict]:
        """One verdict for each (prompt, response), in order; a generator's are kept as they come.

        Raises:
            LapdError: no response can be judged, now or later: a refused key, a ceiling that is reached.
        """


@dataclass(frozen=True)
class Verdict:
    """What a judge decided on one response: flagged, unflagged, or missing (`flagged` is None) with a reason."""

    flagged: bool | None
    reason: str = ""
    categories: tuple[str, ...] = ()


class Grader(Protocol):
    """Grades responses on a dimension. An error on one is a missing grade with its reason, never a grade."""

    name: str
    description: str

    def grade(self, batch: Sequence[tuple[str, str]], dimension: Dimension) -> Iterable[Grade]:
        """One grade for each (prompt, response), in order; a generator's are kept as they come.

        Raises:
            LapdError: no response can be graded, now or later: a refused key, a ceiling that is reached.
        """


@dataclass(frozen=True)
class Dimension:
    """What responses are graded on.

    Attributes:
        name: an axis, such as "E/I", or "coherence".
        high: what a response is like that gets 100: for an axis, how somebody at its first pole is.
        low: the same for 0, and an axis's second pole.
        pack: the name of the trait pack that the axis is of; "" for what is no axis.
    """

    name: str
    high: str
    low: str
    pack: str = ""


@dataclass(frozen=True)
class Grade:
    """What a grader made of one response: a value from 0 to 100, or none and the reason."""

    value: float | None
    reason: str = ""


class Executor(Protocol):
    """Runs units of work, each by calling `run_unit` with it once, somewhere: an evaluation's cells, or trainings."""

    name: str
    description: str

    def run(self, units: Sequence[Work], run_unit: RunUnit) -> None:
        """Return when every unit is done; raise the first error after the running ones have ended.

        Units that are not done by then and that nobody is at are given to it once more, a few times.
        """


class Work(Protocol):
    """What an executor knows of a unit of work. It may be pickled."""

    @property
    def name(self) -> str:
        """Tells it from every other."""

    def label(self) -> str:
        """What it is, for people."""


class RunUnit(Protocol):
    """What an executor is given to run units with.

    It may be pickled: a copy in another process loads a model of its own, shows nothing, and knows from the folder
    what is done and what is held. It has what is in the folder, the models and the adapters by their paths only.

    Attributes:
        folder: what the units write into: the run folder, or the adapters' parent.
        marker: a file in the folder that is there before any unit is run: who does not see it is on a machine that
            does not share the folder.
        logs: a folder for what an executor keeps of its workers, such as their logs; it may not be there yet.
        unit: "cell" or "training".
        verb: "evaluate" or "train", for a bar.
        quiet: show no progress.
    """

    folder: Path
    marker: Path
    logs: Path
    unit: str
    verb: str
    quiet: bool

    def __call__(self, unit: Any) -> None:
        """Run the unit in this process, unless it is done or another process is at it."""

    def left(self) -> Sequence[Work]:
        """The units that are not done yet, whoever is at them."""


RunCell = RunUnit
"""Its name for plugins from when cells were the only units."""


# What may be had beside it. Each part is looked for by its name: have the one that you need, and leave the others out


class TakesOptions(Protocol):
    """A generator, a judge or an executor that takes options on the command line or from a file.

    Attributes:
        options: what it takes (`lapd.options.declared_by` makes them of a dataclass).
    """

    options: Sequence[click.Option]

    def configure(self, options: Mapping[str, Any]) -> Any:
        """The same with these options: those that were given, by their parameters' names; as texts, or typed already.

        A generator is told the pairs file that will be written, too: `out`.

        Raises:
            UsageError: one is missing or wrong, or it cannot be used on this machine.
        """


class GeneratorParts(Protocol):
    """What a generator may have."""

    def estimate(self, persona: Persona, *, pairs: int | None, seed: int) -> Mapping[str, Any]:
        """For pairs that cost something: what `generate` would ask for, by name, for `lapd generate --dry-run`."""

    def draft(self, pack: TraitPack, *, situations: int, items: int, seed: int) -> Iterable[Mapping[str, Any]]:
        """For `lapd traits write`: so many situations and questionnaire items an axis, as a pack has them."""

    def heldout(self, persona: Persona, *, pairs: int) -> Iterable[PreferencePair]:
        """For scores during a training: at most `pairs` pairs that `generate` never yields, the same each time."""


class TrainerParts(Protocol):
    """What a trainer may have.

    Attributes:
        conversations: True if it trains under `pair.messages`, all that is before the responses, and not under
            `pair.prompt` alone. Without it, pairs with a system prompt or earlier turns are refused.
        together: True if it can train one adapter on several processes: `train` is then called in each of them, with
            the same folders, and one writes (`lapd.train.together`). Without it, such a training is refused.
    """

    conversations: bool
    together: bool

    def preference(self) -> tuple[float, str]:
        """For `--trainer auto`: a number, of which the highest is taken (without it 0), and why: "it ...".

        Below 0, only who asks for the trainer by its name gets it.
        """

    def refuses(self, config: TrainConfig) -> str | None:
        """For settings that it cannot train with, at least here: why, naming the option and what to do; else None."""

    def steps(self, config: TrainConfig, pairs: int) -> int:
        """For `lapd train --plan`: how many steps it makes of so many pairs, where it does not go by epochs."""

    def scoring(self, pairs: Sequence[PreferencePair]) -> Trainer:
        """For scores during a training: this trainer, scoring held-out `pairs` as `eval_every` and `stop_when` say."""

    def keep_base(self) -> AbstractContextManager[None]:
        """For several trainings: while this is open, a base that was loaded for one serves the next."""


class JudgeParts(Protocol):
    """What a judge or a grader may have.

    Attributes:
        version: if the same response may get another verdict or grade than it once did: another one than then.
        settings: if they depend on any: those, without secrets; JSON.
        note: if its numbers need a word of warning: what is said wherever they appear.
    """

    version: str
    settings: Mapping[str, Any]
    note: str


class AsksMore(Protocol):
    """A judge that decides on more than whether a response is harmful."""

    def for_question(self, question: str) -> Judge | None:
        """The judge as it decides on another question, with settings of its own; None where it does not.

        Args:
            question: "refusal": whether the response refuses what the prompt asks for. Its verdicts are then flagged
                for one that does, and their `categories` empty. An empty response is not given to it.
        """


class GraderParts(Protocol):
    """What a grader may have beside `JudgeParts`. Where it has an option `base`, that is a run's base unless given."""

    def refuses(self, dimension: Dimension) -> str | None:
        """For a dimension that it cannot grade: why, in a few words; else None."""
