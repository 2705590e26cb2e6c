"""A whole experiment from one YAML file: train, evaluate, compare, report.

name: quickstart
base: smollm2
personas: [INFP]
controls: [shuffled]                    # control adapters beside each persona's; or {shuffled: [INFP]}
models: {tuned: out/tuned}              # whole models as arms, by name
seeds: [0, 1]                           # each of them once a seed: INFP.0, INFP.1, shuffled-INFP.0 ...
out: runs/quickstart
train: {pairs: 192, epochs: 2}          # any setting of TrainConfig
evaluate: {tasks: [mbti, situations]}   # arms, strengths, limit, seed, dtype, data_dir, questionnaire ...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any

from lapd.adapters.adapter import Adapter
from lapd.adapters.personas import persona_of
from lapd.adapters.whole import WholeModel, resolve_models
from lapd.compare.comparisons import Comparison, compare_run
from lapd.errors import DataError
from lapd.evaluate.estimate import Plan, Training, another_seed, make_plan
from lapd.evaluate.plan import make_arms
from lapd.experiment.advice import in_words_of_the_file
from lapd.experiment.arms import evaluate_arms, plan_cells
from lapd.experiment.file import EvaluateConfig, Executing, Experiment, read_experiment, with_another_seed
from lapd.hookspecs import Judge
from lapd.judges.choosing import make_judge
from lapd.models.base import BaseModel, resolve_base
from lapd.planning.foreseen import would_show
from lapd.record.cells import ARM_KINDS, Arm
from lapd.record.store import Store, arm_record
from lapd.train.config import TrainConfig
from lapd.train.job import finished_adapter
from lapd.train.training import train_adapters


def run_experiment(
    path: Path, executing: Executing = Executing(), *, quiet: bool = False
) -> tuple[list[Comparison], Path]:
    """Train what is not trained, evaluate what is not evaluated, and return the comparisons and the report's path.

    The same call again does nothing that is done already, and changes no file. Two processes may be at it at once.

    Raises:
        LapdError: as `train_adapters`, `evaluate_arms` and `compare_run`.
    """
    from lapd.report.cards import write_cards
    from lapd.report.page import write_report

    experiment, trains, evaluation = _read(path, executing)
    folder = Path(experiment.out)
    base = resolve_base(experiment.base)
    models = _models(path, experiment, base)
    _say(f"{experiment.name}: train {', '.join(config.name for config in trains)} on {experiment.base}.", quiet)
    with in_words_of_the_file("train"):
        adapters = train_adapters(
            trains,
            folder / "adapters",
            executor=evaluation.executor,
            executor_options=evaluation.executor_options,
        )
    with in_words_of_the_file("evaluate"):
        evaluate_arms(
            base,
            _arms(adapters, evaluation, models),
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
    return rows, write_report(folder)


def plan_experiment(path: Path, executing: Executing = Executing()) -> Plan:
    """What `run_experiment` would do; nothing is loaded, and nothing is written.

    Raises:
        LapdError: as `read_experiment` and `lapd.experiment.arms.plan_cells`.
    """
    experiment, trains, evaluation = _read(path, executing)
    folder, base = Path(experiment.out), resolve_base(experiment.base)
    models = _models(path, experiment, base)
    with in_words_of_the_file("train"):
        found = {config.name: finished_adapter(config, folder / "adapters" / config.name) for config in trains}
    took = [adapter.card["seconds"] for adapter in found.values() if adapter and adapter.card]
    usual = round(mean(took), 1) if took else None
    needed = [
        Training(config.name, config.persona, config.control, config.seed, usual)
        for config in trains
        if found[config.name] is None
    ]
    adapters = [found[config.name] or _to_be_trained(config, base, folder) for config in trains]
    with in_words_of_the_file("evaluate"):
        arms, judge = _arms(adapters, evaluation, models), _judge(evaluation)
        cells = plan_cells(base, arms, evaluation.tasks, evaluation.settings(), judge)
        plan = make_plan(Store(folder), cells, needed)
        again = [_to_be_trained(config, base, folder) for config in with_another_seed(path, experiment)]
        once = [_to_be_trained(config, base, folder) for config in trains]
        records = [_records(some, evaluation, models) for some in (once, again)]
    cost = another_seed(Store(folder), cells, len(trains), len(experiment.seeds or [0]), usual)
    shown, unknown = would_show(Store(folder), cells, *records)
    return replace(plan, another_seed=cost, would_show=shown, unknown=unknown)


def _records(
    adapters: Sequence[Adapter], evaluation: EvaluateConfig, models: Sequence[WholeModel]
) -> dict[str, dict[str, Any]]:
    """What a run's record would have of the arms."""
    return {arm.name: arm_record(arm) for arm in _arms(adapters, evaluation, models)}


def _read(path: Path, executing: Executing) -> tuple[Experiment, list[TrainConfig], EvaluateConfig]:
    with in_words_of_the_file("train"):
        return read_experiment(path, executing)


def _to_be_trained(config: TrainConfig, base: BaseModel, folder: Path) -> Adapter:
    """What is known of an adapter before it is there: all but the digest of its weights."""
    card = {
        "persona": config.persona,
        "control": config.control,
        "base": {"name": base.name, "digest": base.digest},
        "settings": asdict(config),
    }
    return Adapter(config.name, folder / "adapters" / config.name, "", card)


def _models(path: Path, experiment: Experiment, base: BaseModel) -> list[WholeModel]:
    """The whole models of a file, found before anything is trained beside them."""
    for name, place in experiment.models.items():
        if not isinstance(place, str):
            raise DataError(path, f"models: {name}: a folder or a Hugging Face id is expected.")
    return resolve_models([f"{name}={place}" for name, place in experiment.models.items()], base)


def _arms(adapters: Sequence[Adapter], evaluation: EvaluateConfig, models: Sequence[WholeModel]) -> list[Arm]:
    """Every adapter at each of its strengths, the whole models, and their bases."""
    scaled = []
    for adapter in adapters:
        strengths = evaluation.strengths_of.get(adapter.persona or "", evaluation.strengths)
        for strength in sorted(set(map(float, strengths))):
            scaled.append(adapter.at(strength) if adapter.digest else replace(adapter, strength=strength))
    made = make_arms(scaled, evaluation.arms)
    for model in models:
        kinds = evaluation.arms or list(ARM_KINDS)
        able = kinds if persona_of(model) else [kind for kind in kinds if "prompt" not in kind]
        made += make_arms([model], able, quiet=True) if able else []
    return sorted(dict.fromkeys(made), key=lambda arm: arm.adapter is not None)


def _judge(evaluation: EvaluateConfig) -> Judge | None:
    return make_judge(evaluation.judge, evaluation.judge_options) if evaluation.judge else None


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr)
