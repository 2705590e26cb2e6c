"""An adapter to be trained: everything found and checked that its training needs, before the first one starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lapd.errors import DataError, UsageError
from lapd.files.whole import digest_json
from lapd.hookspecs import Trainer
from lapd.models.adapters import RUN_CARD, Adapter, resolve_adapter
from lapd.models.base import BaseModel, resolve_base
from lapd.names import get_persona
from lapd.pairs.controls import control_pairs
from lapd.pairs.pair import PreferencePair, pairs_digest
from lapd.pairs.readers import read_any_pairs
from lapd.personas import Persona
from lapd.pluginmanager import lookup, registry
from lapd.train.choice import choose_trainer
from lapd.train.config import TrainConfig
from lapd.train.heldout import default_pairs

WITHOUT_EFFECT = ("save_steps", "gradient_checkpointing", "eval_every", "eval_pairs")
"""Settings that the weights do not depend on (of the last two, see `_identity`)."""


ALWAYS_COUNTED = (
    *("persona", "pairs", "trainer", "beta", "epochs", "lr", "batch_size", "grad_accum", "warmup", "max_length"),
    *("r", "alpha", "precision", "seed"),
)
"""Settings that an adapter's identity names even at their defaults. Later ones are named only where they differ from
the default, so that adapters from before there were such settings still count as trained with the same ones."""


@dataclass(frozen=True)
class Job:
    """An adapter to be trained, with everything found that it needs.

    Attributes:
        why: why this trainer was chosen; "" if it was asked for.
        identity: of the adapter (see `_identity`).
        accepted: identities of adapters that are as good, should one be there already.
    """

    config: TrainConfig
    persona: Persona
    trainer: Trainer
    why: str
    base: BaseModel
    pairs: list[PreferencePair]
    heldout: list[PreferencePair]
    identity: str
    accepted: frozenset[str]
    out: Path


def finished_adapter(config: TrainConfig, out: Path) -> Adapter | None:
    """The adapter that is in `out` already from the same settings, or None if there is none; trains nothing.

    Raises:
        UsageError: `out` holds something else.
        LapdError: no such persona, trainer, generator or model; pairs that cannot be used.
    """
    return finished(prepare(config, out), force=False) if out.exists() else None


def prepare(config: TrainConfig, out: Path) -> Job:
    persona = get_persona(config.persona)
    choice = choose_trainer(config)
    trainer = choice.trainer
    base = resolve_base(config.base)
    pairs = load_pairs(config, persona)
    heldout = load_heldout(config, persona, len(pairs)) if hasattr(trainer, "scoring") else []
    for option, value in (("--eval-every", config.eval_every), ("--stop-when", config.stop_when)):
        if value is not None and not heldout:
            known = hasattr(trainer, "scoring")
            who = f"generator {config.generator} has none" if known else f"trainer {trainer.name} scores none"
            raise UsageError(f"{option} needs held-out pairs, and {who}.")
    if config.control:
        pairs = control_pairs(pairs, config.control)
    # What `auto` comes to may change with the machine, but an adapter that is there is as good from any trainer.
    identities = {
        name: _identity(replace(config, trainer=name), base, pairs, heldout)
        for name in {trainer.name, *(registry("trainers") if choice.why else ())}
    }
    accepted = frozenset(identities.values())
    config = replace(config, trainer=trainer.name)
    identity = identities[trainer.name]
    return Job(config, persona, trainer, choice.why, base, pairs, heldout, identity, accepted, out)


def load_pairs(config: TrainConfig, persona: Persona) -> list[PreferencePair]:
    """The pairs to train on: the dataset's, else the generator's.

    Raises:
        DataError: there are none, or the dataset is in no form that is read.
    """
    if config.dataset:
        pairs = read_any_pairs(config.dataset)
        if config.eval_pairs and config.eval_pairs >= len(pairs):
            message = f"--eval-pairs {config.eval_pairs} leaves nothing to train on: there are {len(pairs)} pairs."
            raise DataError(config.dataset, message)
        return pairs[: len(pairs) - (config.eval_pairs or 0)][: config.pairs]
    generator = lookup("generators", config.generator)
    pairs = list(generator.generate(persona, pairs=config.pairs, seed=config.seed))
    if not pairs:
        raise DataError(config.generator, f"this generator has no pairs for {persona.code}.")
    return pairs


def load_heldout(config: TrainConfig, persona: Persona, trained: int) -> list[PreferencePair]:
    """The pairs that training is scored on: the end of the dataset, else what the generator never trains on.

    Args:
        config: whose `eval_pairs` counts.
        persona: whose pairs; also those of a control adapter, so that its scores can be held against the persona's.
        trained: how many pairs there are to train on.
    """
    if config.dataset:
        return read_any_pairs(config.dataset)[-config.eval_pairs :] if config.eval_pairs else []
    wanted = default_pairs(trained) if config.eval_pairs is None else config.eval_pairs
    heldout = getattr(lookup("generators", config.generator), "heldout", None)
    return list(heldout(persona, pairs=wanted)) if heldout and wanted else []


def _identity(config: TrainConfig, base: BaseModel, pairs: list[PreferencePair], heldout: list[PreferencePair]) -> str:
    """SHA-256 over what determines the weights: how often it is saved does not, nor what the data's digest tells.

    How held-out pairs are scored only matters if the scores may end the training.
    """
    told = (*WITHOUT_EFFECT, "dataset", "generator", "base", "control", "stop_when", "recipe")
    settings = {
        name: value
        for name, value in asdict(config).items()
        if name not in told and (name in ALWAYS_COUNTED or value != TrainConfig.__dataclass_fields__[name].default)
    }
    if rule := config.stop_rule:
        settings["stop_when"] = [str(rule), config.eval_every, pairs_digest(heldout)]
    return digest_json([config.persona, settings, base.digest, pairs_digest(pairs)])


def finished(job: Job, force: bool) -> Adapter | None:
    """The adapter that is there already from the same settings, if any."""
    out = job.out
    if not out.exists():
        return None
    if not (out / RUN_CARD).is_file():
        raise UsageError(f"{out} exists and is no adapter of LAPD's.", "Give another -o.")
    if force:
        return None
    adapter = resolve_adapter(out)
    if adapter.card and adapter.card["identity"] in job.accepted:
        return adapter
    hint = "Give another -o, or --force to replace it."
    raise UsageError(f"{out} holds an adapter that was trained with other settings.", hint)
