"""Training adapters: the configuration, the run card, and a folder that appears only when it is whole.

While it runs, everything is kept in `<out>.partial/`; the same command goes on from its newest whole checkpoint, and
the finished adapter is moved to `<out>` in one step.
"""

from __future__ import annotations

import fcntl
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from lapd._version import __version__
from lapd.adapters import RUN_CARD, RUN_CARD_SCHEMA, Adapter, resolve_adapter
from lapd.errors import DataError, LapdError, StoreError, UsageError
from lapd.files import digest_json, make_folder_readable, read_json, writable_folder, write_json, write_text
from lapd.heldout import default_pairs
from lapd.helpers import helpers
from lapd.hookspecs import Trainer, TrainResult
from lapd.model_card import model_card
from lapd.models import BaseModel, resolve_base
from lapd.pairs import PreferencePair, control_pairs, pairs_digest
from lapd.personas import Persona, get_persona
from lapd.pluginmanager import lookup, registry
from lapd.readers import read_any_pairs
from lapd.train_config import TrainConfig
from lapd.trainers import choose_trainer

BUSY_SECONDS = 5
"""So long is waited before looking again whether another process has finished an adapter."""

LAST, FAR = 10, 10
"""A training has diverged once the mean loss of so many steps is so many times that of the first step."""


WITHOUT_EFFECT = ("save_steps", "gradient_checkpointing", "eval_every", "eval_pairs")
"""Settings that the weights do not depend on (of the last two, see `_identity`)."""

ALWAYS_COUNTED = (
    *("persona", "pairs", "trainer", "beta", "epochs", "lr", "batch_size", "grad_accum", "warmup", "max_length"),
    *("r", "alpha", "precision", "seed"),
)
"""Settings that an adapter's identity names even at their defaults. Later ones are named only where they differ from
the default, so that adapters from before there were such settings still count as trained with the same ones."""


@dataclass(frozen=True)
class _Job:
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


def train_adapter(config: TrainConfig, out: Path, *, force: bool = False, quiet: bool = False) -> Adapter:
    """Train an adapter into the folder `out`, or return the one that is there already from the same settings.

    Raises:
        UsageError: `out` holds something else and `force` is not set.
        LapdError: no such persona, trainer, generator or model; pairs that cannot be used; training failed.
    """
    job = _prepare(config, out)
    if (adapter := _finished(job, force)) is None:
        if not quiet:
            _say_trainer([job])
        return _train(job)
    if not quiet:
        print(f"{out} is there already, trained with these settings.", file=sys.stderr)
    return adapter


def train_adapters(
    configs: Sequence[TrainConfig],
    folder: Path,
    *,
    force: bool = False,
    workers: int = 1,
    done: Callable[[Adapter, bool], None] = lambda adapter, trained: None,
) -> list[Adapter]:
    """Train several adapters, each into the folder of its name below `folder`, loading each base model once.

    Each is the same, byte for byte on a CPU, as `train_adapter` makes it alone. Everything is checked before the first
    training starts; those that are there already from the same settings are left as they are. Two processes may be at
    it at once: each takes what the other is not at, and returns when all are there.

    Args:
        configs: one an adapter; no two with one name.
        folder: the parent of the adapters' folders.
        force: replace adapters that were trained with other settings.
        workers: processes that share the adapters, this one among them. Each loads the base and has its share of the
            threads; with another number of them, weights agree to rounding instead of byte for byte.
        done: called with each adapter once it is there, and whether it was trained now, by whichever process.

    Raises:
        UsageError: two configurations have one name, several workers are to replace adapters, or as `train_adapter`.
        LapdError: as `train_adapter`; what is finished by then stays.
    """
    names = Counter(config.name for config in configs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"Two adapters would be called {twice[0]!r}.", "Train them into different folders.")
    if force and workers > 1:
        raise UsageError("Several workers would each replace what another has just trained.", "Use one with --force.")
    jobs = [_prepare(config, folder / config.name) for config in configs]
    there = {job.out: adapter for job in jobs if (adapter := _finished(job, force)) is not None}
    _say_trainer([job for job in jobs if job.out not in there])
    for job in jobs:
        if job.out in there:
            done(there[job.out], False)
    with ExitStack() as stack:
        stack.enter_context(helpers(max(0, min(workers, len(jobs) - len(there)) - 1), configs, folder))
        for trainer in {job.trainer.name: job.trainer for job in jobs}.values():
            if keep_base := getattr(trainer, "keep_base", None):
                stack.enter_context(keep_base())
        said = False
        while waiting := [job for job in jobs if job.out not in there]:
            for job in waiting:
                try:
                    # Another process may have finished it meanwhile.
                    there[job.out] = _finished(job, force) or _train(job)
                except _BusyError:
                    continue
                done(there[job.out], True)
            if all(job.out not in there for job in waiting):
                if not said:
                    print("Another process trains what is left; waiting for it.", file=sys.stderr)
                said = True
                time.sleep(BUSY_SECONDS)
    return [there[job.out] for job in jobs]


def finished_adapter(config: TrainConfig, out: Path) -> Adapter | None:
    """The adapter that is in `out` already from the same settings, or None if there is none; trains nothing.

    Raises:
        UsageError: `out` holds something else.
        LapdError: no such persona, trainer, generator or model; pairs that cannot be used.
    """
    return _finished(_prepare(config, out), force=False) if out.exists() else None


def _prepare(config: TrainConfig, out: Path) -> _Job:
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
    return _Job(config, persona, trainer, choice.why, base, pairs, heldout, identity, accepted, out)


def _say_trainer(jobs: Sequence[_Job]) -> None:
    """Say once which trainer `auto` chose, and why."""
    for line in sorted({f"Trainer {job.trainer.name}: {job.why}" for job in jobs if job.why}):
        print(line, file=sys.stderr)


def _train(job: _Job) -> Adapter:
    """Train in the folder beside `job.out`, and move the adapter there once it is whole."""
    config, out = job.config, job.out
    writable_folder(out.parent)
    partial = out.with_name(out.name + ".partial")
    with _working_folder(partial, job.identity) as work:
        started = time.time()
        folder = work / "adapter"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        trainer = job.trainer.scoring(job.heldout) if job.heldout else job.trainer  # type: ignore[attr-defined]
        result = trainer.train(config, job.base, job.pairs, work / "checkpoints", folder)
        card = _run_card(job, result, round(time.time() - started, 1))
        write_json(folder / RUN_CARD, card)
        _plot_curves(result.log, folder / "curves.png", f"{config.name} on {job.base.name}")
        write_text(folder / "README.md", model_card(card))
        make_folder_readable(folder)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    shutil.rmtree(partial, ignore_errors=True)
    return resolve_adapter(out)


def _run_card(job: _Job, result: TrainResult, seconds: float) -> dict[str, Any]:
    config, persona, base = job.config, job.persona, job.base
    return {
        "schema": RUN_CARD_SCHEMA,
        "identity": job.identity,
        "persona": persona.code,
        "poles": persona.poles,
        "control": config.control,
        "base": {"name": base.name, "digest": base.digest, "upstream": base.upstream},
        "data": {
            "digest": pairs_digest(job.pairs),
            "pairs": len(job.pairs),
            "sources": _sources(config, job.pairs),
            "heldout": {"digest": pairs_digest(job.heldout), "pairs": len(job.heldout)},
        },
        "trainer": {"name": job.trainer.name, "why": job.why or "it was asked for"},
        "settings": {**asdict(config), **result.settings},
        "versions": {"lapd": __version__, **result.versions},
        "log": result.log,
        "seconds": seconds,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


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


def _finished(job: _Job, force: bool) -> Adapter | None:
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


class _BusyError(StoreError):
    """Another process is at this adapter."""


@contextmanager
def _working_folder(partial: Path, identity: str) -> Iterator[Path]:
    """The folder of an unfinished training, held against other processes; emptied if it was for other settings."""
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _BusyError(
                f"Another process is training into {partial}.", "Wait for it, or give another -o."
            ) from None
        marker = partial / "identity.json"
        if not marker.is_file() or read_json(marker) != identity:
            shutil.rmtree(partial / "checkpoints", ignore_errors=True)
            write_json(marker, identity)
        yield partial


def _sources(config: TrainConfig, pairs: list[PreferencePair]) -> dict[str, Any]:
    counts = Counter(str(p.source.get("axis", "unknown")) for p in pairs)
    return {"from": config.dataset or config.generator, "pairs_by_axis": dict(sorted(counts.items()))}


def _plot_curves(log: list[dict[str, float]], path: Path, title: str) -> None:
    """Loss and margin against steps, as a PNG."""
    from lapd.report.plots import training_curves

    training_curves(log, path, title)


def check_log(log: Sequence[Mapping[str, float]], kept: Path | None = None) -> None:
    """Refuse a training that has diverged.

    That is: the loss or the gradient's norm is not a finite number, or the mean loss of the last ten steps is more
    than ten times that of the first step.

    Args:
        log: the training's so far, as in a `TrainResult`.
        kept: the newest checkpoint, for the message.

    Raises:
        LapdError: with advice.
    """
    losses = [entry["loss"] for entry in log if "loss" in entry]
    reason = ""
    for entry in log:
        for name, what in (("loss", "loss"), ("grad_norm", "gradient")):
            if not reason and not math.isfinite(entry.get(name, 0.0)):
                reason = f"the {what} is not a number at step {entry['step']:.0f}"
    if not reason and len(losses) > LAST and mean(losses[-LAST:]) > FAR * abs(losses[0]):
        reason = f"the loss is {mean(losses[-LAST:]):.3g} on average over the last {LAST} steps, from {losses[0]:.3g}"
    if reason:
        hint = "Lower --lr, raise --beta or --warmup, or train with --precision float32."
        where = f" {kept} is the last good checkpoint." if kept else ""
        raise LapdError(f"Training diverged: {reason}.", hint + where)
