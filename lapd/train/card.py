"""The run card: what an adapter was trained on, with and from, as the record beside its weights."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from lapd._version import __version__
from lapd.adapters.adapter import RUN_CARD_SCHEMA
from lapd.evaluate.provenance import hardware
from lapd.hookspecs import TrainResult
from lapd.pairs.pair import PreferencePair, pairs_digest
from lapd.train.config import TrainConfig
from lapd.train.job import Job
from lapd.train.prompts import train_prompt


def run_card(job: Job, result: TrainResult, seconds: float) -> dict[str, Any]:
    config, persona, base = job.config, job.persona, job.base
    return {
        "schema": RUN_CARD_SCHEMA,
        "identity": job.identity,
        "persona": persona.code,
        "poles": persona.poles,
        "persona_record": persona.record(),
        "control": config.control,
        "base": base.origin,
        "data": {
            "digest": pairs_digest(job.pairs),
            "pairs": len(job.pairs),
            "sources": _sources(config, job.pairs),
            "heldout": {"digest": pairs_digest(job.heldout), "pairs": len(job.heldout)},
            **({"kept": {"digest": pairs_digest(job.kept), "pairs": len(job.kept)}} if job.kept else {}),
        },
        **({"train_prompt": system} if (system := train_prompt(config.train_prompt, persona)) else {}),
        "trainer": {"name": job.trainer.name, "why": job.why or "it was asked for"},
        "settings": {**asdict(config), **result.settings},
        "versions": {"lapd": __version__, **result.versions},
        "hardware": hardware(),
        "log": result.log,
        "seconds": seconds,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _sources(config: TrainConfig, pairs: list[PreferencePair]) -> dict[str, Any]:
    counts = Counter(str(p.source.get("axis") or "unknown") for p in pairs)
    return {"from": config.dataset or config.generator, "pairs_by_axis": dict(sorted(counts.items()))}
