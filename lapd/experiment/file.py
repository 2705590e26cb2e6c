"""The content of an experiment's YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lapd.adapters.adapter import check_strength
from lapd.adapters.naming import check_name
from lapd.catalog.groups import find_tasks
from lapd.catalog.task import SIDES
from lapd.errors import DataError, UsageError
from lapd.files.settings import build, read_yaml
from lapd.names import get_personas
from lapd.options import configured
from lapd.pluginmanager import lookup
from lapd.record.cells import ARM_KINDS, Settings
from lapd.train.choice import choose_trainer
from lapd.train.config import TrainConfig
from lapd.train.seeds import check_seeds, replicates


@dataclass(frozen=True)
class EvaluateConfig:
    """What is evaluated, and how; see `lapd.record.cells.Settings` for the last twelve.

    `arms`: without them, all that can be made.
    `executor`, `executor_options`: what runs the cells, and the experiment's trainings before them.
    `strengths`: every adapter, the controls too, is evaluated at each of them (see `lapd.adapters.adapter.Adapter.at`).
    `strengths_of`: by persona, what stands in their place for its adapters and their controls.
    """

    tasks: list[str]
    arms: list[str] | None = None
    strengths: list[float | int] = field(default_factory=lambda: [1])
    strengths_of: dict[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    executor: str = "local"
    executor_options: dict[str, Any] = field(default_factory=dict)
    judge: str | None = None
    judge_options: dict[str, Any] = field(default_factory=dict)
    limit: int | None = None
    seed: int = 0
    dtype: str = "float32"
    data_dir: str | None = None
    questionnaire: str | None = None
    fold_system_prompt: bool = False
    pairs: str | None = None
    limits: dict[str, int] = field(default_factory=dict)
    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    balanced: bool = False

    def settings(self) -> Settings:
        """What of it belongs to every cell's identity."""
        return Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})


@dataclass(frozen=True)
class Experiment:
    """The content of an experiment's YAML file.

    Attributes:
        name: a title.
        out: the run folder; adapters go into its `adapters/`. Relative to where `lapd run` is called.
        personas: codes; one adapter each, or one a seed.
        evaluate: an `EvaluateConfig`.
        base: as in `TrainConfig`.
        controls: kinds of control adapters to train beside each persona's; or, by kind, beside which personas'.
        seeds: each adapter and control is trained once with each of them, as `lapd.train.seeds.replicates` does.
        models: whole models that are evaluated beside the adapters, by their arms' names: folders or Hugging Face ids,
            with :CODE behind those that are a persona's.
        train: settings of `TrainConfig` other than persona, base and control.
    """

    name: str
    out: str
    personas: list[str]
    evaluate: dict[str, Any]
    base: str = "smollm2"
    controls: list[str] | dict[str, Any] = field(default_factory=list)
    seeds: list[int] | None = None
    models: dict[str, str] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Executing:
    """What is to train and run the cells instead of what the file says.

    Attributes:
        executor: its name; None for the file's.
        options: put on top of the file's, if those are for the same executor.
    """

    executor: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def over(self, evaluation: EvaluateConfig) -> EvaluateConfig:
        """The evaluation with it."""
        name = self.executor or evaluation.executor
        theirs = evaluation.executor_options if name.lower() == evaluation.executor.lower() else {}
        return replace(evaluation, executor=name, executor_options={**theirs, **self.options})


def read_experiment(
    path: Path, executing: Executing = Executing()
) -> tuple[Experiment, list[TrainConfig], EvaluateConfig]:
    """Read and check an experiment whole, before any work is begun.

    Raises:
        DataError: the file, a key or a value is wrong.
        UnknownNameError: a persona or task does not exist.
        UsageError: the executor does not take one of its options, or cannot be used here.
    """
    experiment = build(Experiment, read_yaml(path), path)
    if clash := sorted({"persona", "base", "control"} & experiment.train.keys()):
        raise DataError(path, f"train: {clash[0]} belongs one level up.")
    codes = [p.code for p in get_personas(experiment.personas)]
    if not codes:
        raise DataError(path, "personas: name at least one.", hint="`lapd personas` lists them.")
    trains = _trainings(path, experiment, codes)
    for config in trains:
        check_name(config.name)
    evaluation = executing.over(build(EvaluateConfig, experiment.evaluate, f"{path}: evaluate"))
    if not evaluation.tasks:
        raise DataError(path, "evaluate: tasks: name at least one.", hint="`lapd tasks` lists them.")
    find_tasks(name for name in evaluation.tasks if name not in SIDES)
    choose_trainer(trains[0])
    lookup("generators", trains[0].generator)
    configured("executors", evaluation.executor, evaluation.executor_options)
    if evaluation.judge:
        lookup("judges", evaluation.judge)
    evaluation.settings()
    if not evaluation.strengths:
        raise DataError(path, "evaluate: strengths: name at least one.", hint="1 is the adapter as it was trained.")
    for strength in evaluation.strengths:
        check_strength(strength, f"{path}: evaluate: strengths")
    evaluation = replace(evaluation, strengths_of=_strengths_of(path, evaluation.strengths_of, codes))
    _check_arms(path, evaluation.arms or [], codes)
    return experiment, trains, evaluation


def with_another_seed(path: Path, experiment: Experiment) -> list[TrainConfig]:
    """The experiment's trainings, and all of them once more with a seed of their own.

    Args:
        path: the experiment's, for messages.
        experiment: one that was read.
    """
    seeds = experiment.seeds or [experiment.train.get("seed", TrainConfig.seed)]
    train = {name: value for name, value in experiment.train.items() if name != "seed"}
    more = replace(experiment, seeds=[*seeds, max(seeds) + 1], train=train)
    return _trainings(path, more, [persona.code for persona in get_personas(experiment.personas)])


def _trainings(path: Path, experiment: Experiment, codes: Sequence[str]) -> list[TrainConfig]:
    """A configuration for each adapter: a persona's and then its controls', each once a seed."""
    where, seeds = f"{path}: train", experiment.seeds
    if seeds is not None:
        check_seeds(seeds, f"{path}: seeds")
    if "replicate" in experiment.train or (seeds is not None and "seed" in experiment.train):
        raise DataError(path, "train: what is trained once a seed is said by seeds, one level up.")
    controls = _controls(path, experiment.controls, codes)
    once = [
        TrainConfig.from_dict({**experiment.train, "persona": code, "base": experiment.base, "control": control}, where)
        for code in codes
        for control in (None, *controls[code])
    ]
    return once if seeds is None else [one for config in once for one in replicates(config, seeds)]


def _controls(path: Path, controls: Sequence[str] | Mapping[str, Any], codes: Sequence[str]) -> dict[str, list[str]]:
    """The kinds of control of each persona."""
    if not isinstance(controls, Mapping):
        return {code: list(controls) for code in codes}
    found: dict[str, list[str]] = {code: [] for code in codes}
    for kind, personas in controls.items():
        where = f"controls: {kind}"
        if not isinstance(personas, list) or not personas or not all(isinstance(name, str) for name in personas):
            raise DataError(path, f"{where}: a list of personas is expected.", hint="As in {shuffled: [INFP]}.")
        for code in _among(path, personas, codes, where):
            found[code].append(str(kind))
    return found


def _strengths_of(path: Path, given: Mapping[str, Any], codes: Sequence[str]) -> dict[str, list[float]]:
    """The strengths of each persona that has some of its own, by its code."""
    found = {}
    for name, strengths in given.items():
        where = f"evaluate: strengths_of: {name}"
        if not isinstance(strengths, list) or not strengths:
            raise DataError(path, f"{where}: a list of strengths is expected.", hint="As in {INFP: [0.5, 1]}.")
        (code,) = _among(path, [str(name)], codes, where)
        found[code] = [check_strength(strength, f"{path}: {where}") for strength in strengths]
    return found


def _among(path: Path, names: Sequence[str], codes: Sequence[str], where: str) -> list[str]:
    """The codes of personas that must be among the experiment's."""
    found = [persona.code for persona in get_personas(names)]
    if strange := [code for code in found if code not in codes]:
        message = f"{where}: {strange[0]} is none of the experiment's personas."
        raise DataError(path, message, hint="Add it to personas.")
    return found


def _check_arms(path: Path, arms: Sequence[str], codes: Sequence[str]) -> None:
    """Refuse arms that cannot be made, before an adapter is trained for them."""
    if unknown := sorted(set(arms) - set(ARM_KINDS)):
        raise UsageError(f"{path}: there is no arm {unknown[0]!r}.", f"Known: {', '.join(ARM_KINDS)}.")
    promptless = [persona.code for persona in get_personas(codes) if not persona.system_prompt]
    if promptless and any("prompt" in arm for arm in arms):
        hint = "Leave the prompted arms out with arms: [base, adapter], or leave arms: out."
        raise UsageError(f"{path}: no system prompt is known for the persona {promptless[0]}.", hint)
