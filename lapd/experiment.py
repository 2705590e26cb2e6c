"""A whole experiment from one YAML file: train, evaluate, compare, report.

name: quickstart
base: smollm2
personas: [INFP]
controls: [shuffled]                    # control adapters beside each persona's
out: runs/quickstart
train: {pairs: 192, epochs: 2}          # any setting of TrainConfig
evaluate: {tasks: [mbti, situations]}   # arms, strengths, limit, seed, dtype, data_dir, questionnaire ...
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

from lapd.adapters import Adapter, check_strength
from lapd.compare import Comparison, compare_run
from lapd.config import build, read_yaml
from lapd.errors import DataError, UsageError
from lapd.evaluate import evaluate_arms, plan_cells
from lapd.evaluate.catalog import find_task
from lapd.evaluate.estimate import Plan, Training, make_plan
from lapd.evaluate.plan import ARM_KINDS, Arm, Settings, make_arms
from lapd.evaluate.store import Store
from lapd.hookspecs import Judge
from lapd.judges import make_judge
from lapd.models import BaseModel, resolve_base
from lapd.options import configured
from lapd.personas import get_personas
from lapd.pluginmanager import lookup
from lapd.train import finished_adapter, train_adapters
from lapd.train_config import TrainConfig
from lapd.trainers import choose_trainer


@dataclass(frozen=True)
class EvaluateConfig:
    """What is evaluated, and how; see `lapd.evaluate.plan.Settings` for the last six.

    `strengths`: every adapter, the controls too, is evaluated at each of them (see `lapd.adapters.Adapter.at`).
    """

    tasks: list[str]
    arms: list[str] = field(default_factory=lambda: list(ARM_KINDS))
    strengths: list[float | int] = field(default_factory=lambda: [1])
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

    def settings(self) -> Settings:
        """What of it belongs to every cell's identity."""
        return Settings(self.seed, self.limit, self.dtype, self.data_dir, self.questionnaire, self.fold_system_prompt)


@dataclass(frozen=True)
class Experiment:
    """The content of an experiment's YAML file.

    Attributes:
        name: a title.
        out: the run folder; adapters go into its `adapters/`. Relative to where `lapd run` is called.
        personas: codes; one adapter each.
        evaluate: an `EvaluateConfig`.
        base: as in `TrainConfig`.
        controls: kinds of control adapters to train beside each persona's.
        train: settings of `TrainConfig` other than persona, base and control.
    """

    name: str
    out: str
    personas: list[str]
    evaluate: dict[str, Any]
    base: str = "smollm2"
    controls: list[str] = field(default_factory=list)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Executing:
    """What is to run the cells instead of what the file says.

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
    trains = [
        TrainConfig.from_dict(
            {**experiment.train, "persona": code, "base": experiment.base, "control": control}, f"{path}: train"
        )
        for code in codes
        for control in (None, *experiment.controls)
    ]
    evaluation = executing.over(build(EvaluateConfig, experiment.evaluate, f"{path}: evaluate"))
    if not evaluation.tasks:
        raise DataError(path, "evaluate: tasks: name at least one.", hint="`lapd tasks` lists them.")
    for name in evaluation.tasks:
        find_task(name)
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
    if unknown := sorted(set(evaluation.arms) - set(ARM_KINDS)):
        raise UsageError(f"{path}: there is no arm {unknown[0]!r}.", f"Known: {', '.join(ARM_KINDS)}.")
    return experiment, trains, evaluation


def run_experiment(
    path: Path, executing: Executing = Executing(), *, quiet: bool = False
) -> tuple[list[Comparison], Path]:
    """Train what is not trained, evaluate what is not evaluated, and return the comparisons and the report's path.

    The same call again does nothing that is done already, and changes no file. Two processes may be at it at once.

    Raises:
        LapdError: as `train_adapters`, `evaluate_arms` and `compare_run`.
    """
    from lapd.report.cards import write_cards

    experiment, trains, evaluation = read_experiment(path, executing)
    folder = Path(experiment.out)
    _say(f"{experiment.name}: train {', '.join(config.name for config in trains)} on {experiment.base}.", quiet)
    adapters = train_adapters(trains, folder / "adapters")
    evaluate_arms(
        resolve_base(experiment.base),
        _arms(adapters, evaluation),
        evaluation.tasks,
        folder,
        evaluation.settings(),
        executor=evaluation.executor,
        executor_options=evaluation.executor_options,
        batch_size=evaluation.batch_size,
        judge=_judge(evaluation),
        quiet=quiet,
    )
    rows = compare_run(folder)
    write_cards(folder, rows)
    return rows, _report(folder)


def plan_experiment(path: Path, executing: Executing = Executing()) -> Plan:
    """What `run_experiment` would do; nothing is loaded, and nothing is written.

    Raises:
        LapdError: as `read_experiment` and `lapd.evaluate.plan_cells`.
    """
    experiment, trains, evaluation = read_experiment(path, executing)
    folder, base = Path(experiment.out), resolve_base(experiment.base)
    found = {config.name: finished_adapter(config, folder / "adapters" / config.name) for config in trains}
    took = [adapter.card["seconds"] for adapter in found.values() if adapter and adapter.card]
    needed = [
        Training(config.name, config.persona, config.control, round(mean(took), 1) if took else None)
        for config in trains
        if found[config.name] is None
    ]
    adapters = [found[config.name] or _to_be_trained(config, base, folder) for config in trains]
    cells = plan_cells(base, _arms(adapters, evaluation), evaluation.tasks, evaluation.settings(), _judge(evaluation))
    return make_plan(Store(folder), cells, needed)


def _to_be_trained(config: TrainConfig, base: BaseModel, folder: Path) -> Adapter:
    """What is known of an adapter before it is there: all but the digest of its weights."""
    card = {
        "persona": config.persona,
        "control": config.control,
        "base": {"name": base.name, "digest": base.digest},
    }
    return Adapter(config.name, folder / "adapters" / config.name, "", card)


def _arms(adapters: Sequence[Adapter], evaluation: EvaluateConfig) -> list[Arm]:
    """Every adapter at every strength, and their bases."""
    strengths = sorted(set(map(float, evaluation.strengths)))
    scaled = [a.at(s) if a.digest else replace(a, strength=s) for a in adapters for s in strengths]
    return make_arms(scaled, evaluation.arms)


def _judge(evaluation: EvaluateConfig) -> Judge | None:
    return make_judge(evaluation.judge, evaluation.judge_options) if evaluation.judge else None


def _report(folder: Path) -> Path:
    """The report, written anew only when the run has changed since."""
    from lapd.report import write_report

    page = folder / "report.html"
    changed = [path.stat().st_mtime_ns for path in [folder / "run.json", *folder.glob("cells/*/result.json")]]
    if not page.exists() or page.stat().st_mtime_ns < max(changed):
        write_report(folder, page)
    return page


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr)
