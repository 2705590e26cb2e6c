"""The contract with plugins: what each hook registers, and the shape of what is registered.

A plugin is a module (or object) behind an entry point of the group `lapd`. It implements any of these hooks with
`lapd.hookimpl`; LAPD's own generators, trainers, tasks, personas and executors come through the same door.
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
    from lapd.evaluate.plan import Cell
    from lapd.models import BaseModel
    from lapd.pairs import PreferencePair
    from lapd.personas import Persona
    from lapd.train_config import TrainConfig

hookspec = pluggy.HookspecMarker("lapd")


class Generator(Protocol):
    """Yields preference pairs for a persona. The same arguments give the same pairs in the same order."""

    name: str
    description: str

    def generate(self, persona: Persona, *, pairs: int | None, seed: int, **options: Any) -> Iterable[PreferencePair]:
        """At most `pairs` pairs (None: as many as there are), chosen and ordered by `seed`.

        `options` is empty unless the generator declares options (see `HasOptions`); a generator that declares none
        may leave it out.
        """
        ...


class HasOptions(Protocol):
    """What a generator has beside `Generator` if `lapd generate` is to take options for it.

    Attributes:
        options: click options. Each reaches `generate` as a keyword argument of its name, and with them `out`: the
            pairs file that will be written, beside which a generator may keep what it has finished.
    """

    options: Sequence[click.Option]


class HasEstimate(Protocol):
    """What a generator has beside `Generator` if its pairs cost time or money."""

    def estimate(self, persona: Persona, *, pairs: int | None, seed: int, **options: Any) -> Mapping[str, Any]:
        """What `generate` would ask for with the same arguments, by name; asks for nothing itself."""
        ...


class HasHeldout(Protocol):
    """What a generator has beside `Generator` if it keeps pairs from training, to score a training by."""

    def heldout(self, persona: Persona, *, pairs: int) -> Iterable[PreferencePair]:
        """At most `pairs` pairs that `generate` never yields, the same each time."""
        ...


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


class Trainer(Protocol):
    """Turns preference pairs into a PEFT adapter folder."""

    name: str
    description: str

    def unavailable(self) -> str | None:
        """Why this trainer cannot run on this machine, or None if it can. Imports nothing heavy."""
        ...

    def train(
        self, config: TrainConfig, base: BaseModel, pairs: Sequence[PreferencePair], work: Path, adapter: Path
    ) -> TrainResult:
        """Train on `pairs` and write the adapter to the existing folder `adapter`.

        Checkpoints go below `work`, which outlives a killed process: given the same `work` again, training goes
        on from the newest whole checkpoint.
        """
        ...


class HasPreference(Protocol):
    """What a trainer has beside `Trainer` if `--trainer auto` shall know how well it suits a machine; without it: 0."""

    def preference(self) -> tuple[float, str]:
        """A number, of which the highest is taken, and in a few words why: "it ..."."""
        ...


class RefusesSettings(Protocol):
    """What a trainer has beside `Trainer` if there are settings that it cannot train with, at least on this machine."""

    def refuses(self, config: TrainConfig) -> str | None:
        """Why it cannot train with `config`, naming the option and what to do; None if it can."""
        ...


class ScoresHeldout(Protocol):
    """What a trainer has beside `Trainer` if it scores held-out pairs while it trains (see `lapd.heldout`)."""

    def scoring(self, pairs: Sequence[PreferencePair]) -> Trainer:
        """This trainer, with `pairs` to be scored as `eval_every` and `stop_when` in the configuration say."""
        ...


class KeepsBase(Protocol):
    """What a trainer has beside `Trainer` if trainings on one base model can share the loaded model."""

    def keep_base(self) -> AbstractContextManager[None]:
        """While this is open, a base model that was loaded for one training serves the next; then it is let go."""
        ...


@dataclass(frozen=True)
class TaskFolder:
    """A folder of lm-eval tasks (YAML files, at any depth)."""

    name: str
    path: Path


@dataclass(frozen=True)
class Verdict:
    """What a judge decided on one response: flagged, unflagged, or missing (`flagged` is None) with a reason."""

    flagged: bool | None
    reason: str = ""
    categories: tuple[str, ...] = ()


class Judge(Protocol):
    """Decides whether responses are harmful. An error on one is a missing verdict with its reason, never a verdict."""

    name: str
    description: str

    def judge(self, batch: Sequence[tuple[str, str]]) -> Iterable[Verdict]:
        """One verdict for each (prompt, response), in order; a generator's are kept as they come.

        Raises:
            LapdError: no response can be judged, now or later: a refused key, a ceiling that is reached.
        """
        ...


class HasSettings(Protocol):
    """What a judge has beside `Judge` if its verdicts depend on settings, or if its numbers need a word of warning.

    Attributes:
        version: another one where the same response might get another verdict.
        settings: what its verdicts depend on, without secrets; JSON.
        note: what is said wherever its numbers appear; "" for nothing.
    """

    version: str
    settings: Mapping[str, Any]
    note: str

    def configure(self, options: Mapping[str, Any]) -> Judge:
        """This judge with the options of the command line (texts) or the environment.

        Raises:
            UsageError: there is no such option, or one is missing or wrong.
        """
        ...


class RunCell(Protocol):
    """What an executor runs cells with.

    It may be pickled: a copy in another process loads a model of its own, shows nothing, and knows from the run folder
    what is done. It holds what is in the run folder, the models and the adapters by their paths only.

    Attributes:
        folder: the run folder.
        quiet: show no progress.
    """

    folder: Path
    quiet: bool

    def __call__(self, cell: Cell) -> None:
        """Run the cell in this process, unless it is done or another process is at it."""
        ...

    def left(self) -> Sequence[Cell]:
        """The cells of the run that are not done yet, whoever is at them."""
        ...


class Executor(Protocol):
    """Runs cells, each by calling `run_cell` once, somewhere."""

    name: str
    description: str

    def run(self, cells: Sequence[Cell], run_cell: RunCell) -> None:
        """Return when every cell is done; raise the first error after the running cells have ended.

        Cells that are not done by then and that nobody is at are given to it once more, a few times.
        """
        ...


class TakesOptions(Protocol):
    """What an executor has beside `Executor` if `--executor-option` and `executor_options` are for it."""

    def configure(self, options: Mapping[str, Any]) -> Executor:
        """This executor with the options of the command line (texts) or of an experiment's file.

        Raises:
            UsageError: there is no such option, one is missing or wrong, or it cannot be used on this machine.
        """
        ...


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
def lapd_register_personas(register: Callable[[Persona], None]) -> None:
    """Register personas."""


@hookspec
def lapd_register_executors(register: Callable[[Executor], None]) -> None:
    """Register executors of cells."""


@hookspec
def lapd_register_commands(cli: click.Group) -> None:
    """Add click commands to `lapd`, with `cli.add_command` or `@cli.command()`."""
