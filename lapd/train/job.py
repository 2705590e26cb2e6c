"""An adapter to be trained: everything found and checked that its training needs, before the first one starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lapd.adapters.adapter import RUN_CARD, Adapter, resolve_adapter
from lapd.errors import DataError, UnknownNameError, UsageError
from lapd.files.whole import digest_json
from lapd.hookspecs import Trainer
from lapd.models.base import BaseModel, resolve_base
from lapd.names import axes, get_persona
from lapd.options import configured
from lapd.pairs.controls import control_pairs
from lapd.pairs.pair import PreferencePair, pairs_digest, refuse_faulty
from lapd.pairs.readers import read_any_pairs
from lapd.pairs.split import split_by_content
from lapd.personas import Persona
from lapd.train.choice import candidates, choose_trainer
from lapd.train.config import TrainConfig
from lapd.train.heldout import default_pairs
from lapd.train.prompts import prompted, train_prompt
from lapd.traits.pack import CODE
from lapd.traits.persona_file import read_persona

WITHOUT_EFFECT = ("save_steps", "gradient_checkpointing", "batch_rows", "eval_every", "eval_pairs")
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
        heldout: what the training is scored on.
        kept: the pairs of its data set that it is kept from: what the task `own_pairs` asks.
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
    kept: list[PreferencePair]
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
    """Everything that the training needs, found and checked.

    Raises:
        UsageError: the trainer cannot run here or not so, or there are no held-out pairs where some are needed.
        LapdError: no such persona, trainer, generator or model; pairs that cannot be used.
    """
    persona = persona_to_train(config)
    choice = choose_trainer(config)
    trainer = choice.trainer
    base = resolve_base(config.base)
    data = _data(config, persona)
    heldout = data.heldout if hasattr(trainer, "scoring") else []
    _check_heldout(config, trainer, heldout)
    pairs = _controlled(data.pairs, config)
    _check_conversations(trainer, [*pairs, *heldout])
    # What `auto` comes to may change with the machine, but an adapter that is there is as good from any trainer.
    names = {trainer.name, *(candidates() if choice.why else ())}
    identities = {name: _identity(replace(config, trainer=name), base, pairs, heldout) for name in names}
    accepted = set(identities.values())
    bases = [replace(base, digest=digest) for digest in base.digests]
    for data_set in [pairs] if data.whole is None else [pairs, _controlled(data.whole, config)]:
        accepted |= {_identity(replace(config, trainer=name), b, data_set, heldout) for name in names for b in bases}
    return Job(
        replace(config, trainer=trainer.name),
        persona,
        trainer,
        choice.why,
        base,
        pairs,
        heldout,
        data.kept,
        identities[trainer.name],
        frozenset(accepted),
        out,
    )


def persona_to_train(config: TrainConfig) -> Persona:
    """The persona that is trained: the one of the file, else a known one, else a new name for a data set of its own.

    Raises:
        UnknownNameError: there is none of that name, and no data set.
        UsageError: a new name cannot be one.
        DataError: the file is no persona's.
    """
    if config.persona_file:
        ends = {axis.id: axis.ends for axis in axes().values()}
        return read_persona(Path(config.persona_file).expanduser(), config.persona, ends)
    try:
        return get_persona(config.persona)
    except UnknownNameError:
        if not config.dataset:
            raise
    if not CODE.fullmatch(config.persona):
        raise UsageError(f"{config.persona!r} cannot name a persona.", "Use letters, digits and dashes.")
    return Persona(config.persona, config.persona, {}, "", "")


def _check_heldout(config: TrainConfig, trainer: Trainer, heldout: list[PreferencePair]) -> None:
    for option, value in (("--eval-every", config.eval_every), ("--stop-when", config.stop_when)):
        if value is None or heldout:
            continue
        who = f"generator {config.generator} has none"
        if config.dataset:
            who = f"{config.dataset} has too few pairs to keep any"
        if not hasattr(trainer, "scoring"):
            who = f"trainer {trainer.name} scores none"
        raise UsageError(f"{option} needs held-out pairs, and {who}.")


def _check_conversations(trainer: Trainer, pairs: Sequence[PreferencePair]) -> None:
    """Refuse to have system prompts and earlier turns lost by a trainer that knows of prompts alone."""
    if (many := sum(pair.is_conversation for pair in pairs)) and not getattr(trainer, "conversations", False):
        what = f"Trainer {trainer.name} takes prompts alone, and {many} of {len(pairs)} pairs have more before them."
        raise UsageError(what, "Give one that takes conversations, such as --trainer trl.")


def _controlled(pairs: list[PreferencePair], config: TrainConfig) -> list[PreferencePair]:
    return control_pairs(pairs, config.control) if config.control else pairs


def load_pairs(config: TrainConfig, persona: Persona) -> list[PreferencePair]:
    """The pairs that the training would learn from, before a control swaps any.

    Raises:
        DataError: there are none, or the data set is in no form that is read.
    """
    return _data(config, persona).pairs


@dataclass(frozen=True)
class _Data:
    """Pairs to train on and pairs to be scored on.

    Attributes:
        pairs: to train on, before a control swaps any.
        heldout: to be scored on.
        kept: the pairs of the data set that are kept from training; empty for a generator's.
        whole: all pairs, where an adapter from before any were kept from training would have been trained on them.
    """

    pairs: list[PreferencePair]
    heldout: list[PreferencePair]
    kept: list[PreferencePair]
    whole: list[PreferencePair] | None = None


def _data(config: TrainConfig, persona: Persona) -> _Data:
    """A training's pairs, those that it learns from and is scored on under its system prompt."""
    data = _of_data_set(config.dataset, config) if config.dataset else _generated(config, persona)
    system, fold = train_prompt(config.train_prompt, persona), config.fold_system_prompt
    if not system and not fold:
        return data
    whole = None if data.whole is None else prompted(data.whole, system, fold)
    pairs, heldout = (prompted(pairs, system, fold) for pairs in (data.pairs, data.heldout))
    return replace(data, pairs=pairs, heldout=heldout, whole=whole)


def _of_data_set(path: str, config: TrainConfig) -> _Data:
    """A data set's pairs: a part is kept by its content, or with `eval_pairs` taken off the end.

    Raises:
        DataError: the data set is in no form that is read, or nothing is left of it to train on.
    """
    pairs = read_any_pairs(path)
    if config.eval_pairs is None:
        train, kept = split_by_content(pairs)
        return _Data(train[: config.pairs], kept[: default_pairs(len(train))], kept, pairs[: config.pairs])
    cut = len(pairs) - config.eval_pairs
    if cut <= 0:
        message = f"--eval-pairs {config.eval_pairs} leaves nothing to train on: there are {len(pairs)} pairs."
        raise DataError(path, message)
    return _Data(pairs[:cut][: config.pairs], pairs[cut:], pairs[cut:])


def _generated(config: TrainConfig, persona: Persona) -> _Data:
    """A generator's pairs, and those that it never yields for training.

    Raises:
        DataError: it has none for the persona.
    """
    generator = configured("generators", config.generator)
    pairs = list(generator.generate(persona, pairs=config.pairs, seed=config.seed))
    if not pairs:
        hint = "Give pairs of your own with --dataset."
        raise DataError(config.generator, f"this generator has no pairs for {persona.code}.", hint=hint)
    refuse_faulty(f"generator {config.generator}", pairs)
    wanted = default_pairs(len(pairs)) if config.eval_pairs is None else config.eval_pairs
    # A control adapter is scored on the persona's, so that its scores can be held against the persona's own.
    heldout = getattr(generator, "heldout", None)
    return _Data(pairs, list(heldout(persona, pairs=wanted)) if heldout and wanted else [], [])


def _identity(config: TrainConfig, base: BaseModel, pairs: list[PreferencePair], heldout: list[PreferencePair]) -> str:
    """SHA-256 over what determines the weights: how often it is saved does not, nor what the data's digest tells.

    How held-out pairs are scored only matters if the scores may end the training.
    """
    told = {*WITHOUT_EFFECT, "dataset", "generator", "base", "control", "stop_when", "recipe", "persona_file"}
    told |= {"train_prompt", "fold_system_prompt", "replicate"}
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
