"""The check of `check_cuda.py` on a whole study, from an experiment's file to the report."""

from __future__ import annotations

import json
import time
from typing import Any

from cuda_place import Place
from cuda_training import cache_of_its_own


def study(place: Place) -> dict[str, Any]:
    """Two personas trained by whom `auto` chooses, evaluated, compared, reported, and its seconds.

    Should another trainer than `trl` fail, `trl` takes its place: what comes behind a training is tried all the same.
    """
    from lapd import TrainConfig
    from lapd.train.choice import choose_trainer

    wrong = []
    trainers = list(dict.fromkeys([choose_trainer(TrainConfig("INFP", base=str(place.base))).trainer.name, "trl"]))
    for trainer in trainers[:-1]:
        try:
            return _study(place, trainer)
        except Exception as error:  # whatever its libraries raise
            wrong.append(f"with {trainer}: {(str(error).splitlines() or [''])[0]}")
    found = _study(place, trainers[-1])
    return {**found, "wrong": [*wrong, *found["wrong"]]}


def _study(place: Place, trainer: str) -> dict[str, Any]:
    """An experiment's file from end to end."""
    import yaml

    from lapd.experiment.run import run_experiment
    from lapd.record.store import Store

    pairs, limit = (4, 4) if place.tiny else (32, 60)
    path, out = place.folder / f"study-{trainer}.yaml", place.folder / f"study-{trainer}"
    experiment = {
        "name": "check",
        "base": str(place.base),
        "personas": ["INFP", "ESTJ"],
        "out": str(out),
        "train": {"trainer": trainer, "pairs": pairs, "batch_size": 2 if place.tiny else 4, "eval_pairs": 4},
        "evaluate": {"tasks": ["situations"], "arms": ["base", "adapter"], "limit": limit},
    }
    path.write_text(yaml.safe_dump(experiment))
    started = time.perf_counter()
    with cache_of_its_own():
        rows, report = run_experiment(path, quiet=True)
    seconds = time.perf_counter() - started
    cards = [json.loads((out / "adapters" / name / "run_card.json").read_text()) for name in ("INFP", "ESTJ")]
    towards = {f"{row.arm} {row.metric}": row.difference for row in rows if row.persona}
    wrong = [f"{row.arm}, {row.metric}: {row.missing} of its items have no value" for row in rows if row.missing]
    if len(Store(out).results()) != 3 or not towards or not report.is_file():
        wrong.append("the study has not all its cells, comparisons and report")
    return {
        "trainer": trainer,
        "seconds_all": seconds,
        "training_seconds": [card["seconds"] for card in cards],
        "heldout_margins": [[e["heldout_margin"] for e in card["log"] if "heldout_margin" in e][-1] for card in cards],
        "towards": towards,
        "wrong": wrong,
    }
