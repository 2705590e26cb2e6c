"""An audit from start to end: found, planned, run, told; the same call again goes on where it was stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lapd.adapters.whole import WholeModel
from lapd.audit.bundle import bundle
from lapd.audit.memory import check_memory
from lapd.audit.plan import AuditPlan, counts_of, make_audit_plan, plan_of
from lapd.audit.speed import speed_of
from lapd.audit.subject import Audited
from lapd.audit.verdicts import Told, tell
from lapd.errors import DataError
from lapd.evaluate.served import ServedModel
from lapd.experiment.arms import evaluate_arms, plan_cells
from lapd.files.whole import digest_json, fitting_name, read_record, writable_folder, write_json
from lapd.models.chat import check_chat_template
from lapd.models.loading import load_tokenizer
from lapd.record.cells import SERVED_DTYPE, Arm, Cell, Settings
from lapd.record.store import Store

SCHEMA = "lapd.audit/1"

RECORD = "audit.json"
"""What an audit is to ask, in its run folder: who goes on with it asks the same."""

MEASURED = 0.06
"""So much of the minutes goes at most into measuring the base's speed, and again a subject's: beside an item each."""


@dataclass(frozen=True)
class Wanted:
    """How an audit is to be done.

    Attributes:
        minutes: what all of it has to fit into.
        seed: of the draw of the items, and of everything else random.
        dtype: precision; None for float32.
        batch_size: rows computed at once; None for the engine's own.
    """

    minutes: float = 30.0
    seed: int = 0
    dtype: str | None = None
    batch_size: int | None = None

    def settings(self, served: bool, limits: dict[str, int] | None = None) -> Settings:
        """As cells are evaluated with."""
        dtype = SERVED_DTYPE if served else self.dtype or "float32"
        return Settings(self.seed, dtype=dtype, limits=limits or {}, balanced=True)


def default_folder(audited: Audited) -> Path:
    """The run folder of an audit, by the names of its subjects."""
    names = list(dict.fromkeys(subject.name for subject in audited.subjects))
    return Path("runs") / fitting_name("audit-" + "-".join(names[:4]).replace("/", "-"))


def plan_audit(audited: Audited, folder: Path, wanted: Wanted, *, quiet: bool = False) -> AuditPlan:
    """What would be asked: by the folder's record where the same audit was begun there, else newly planned.

    The speed of this machine is measured for it unless that was done within the hour; nothing is written into the
    folder.

    Raises:
        ModelError: the base has no chat template, or a model does not fit into memory.
        UsageError: nothing fits into so few minutes.
    """
    if begun := _begun(audited, folder, wanted):
        return begun["plan"]
    served = isinstance(audited.base, ServedModel)
    if not served:
        check_chat_template(load_tokenizer(audited.base), audited.base.name)
        whole = [subject.model for subject in audited.subjects if isinstance(subject, WholeModel)]
        check_memory([audited.base, *whole], wanted.settings(served).dtype)
    infos = bundle(audited.subjects, isinstance(audited.base, ServedModel) and audited.base.tokenizer is None)
    counts = counts_of(infos, wanted.seed)
    if not quiet:
        print("Measuring how fast this machine is at it ...", file=sys.stderr)
    cells = _cells(audited, [info.name for info in infos], wanted.settings(served), audited.arms[:2])
    speed = speed_of(cells, counts, MEASURED * 60 * wanted.minutes, wanted.batch_size)
    return make_audit_plan(wanted.minutes, audited.subjects, infos, counts, speed)


def plan_done(audited: Audited, folder: Path, wanted: Wanted, plan: AuditPlan) -> tuple[int, int]:
    """How many of a plan's cells are done, and how many there are."""
    served = isinstance(audited.base, ServedModel)
    cells = _cells(audited, plan.names, wanted.settings(served, plan.limits), audited.arms)
    store = Store(folder)
    return sum(store.is_done(cell.name) for cell in cells), len(cells)


def run_audit(audited: Audited, folder: Path, wanted: Wanted, plan: AuditPlan, *, quiet: bool = False) -> Told:
    """Ask what is planned and tell what came out; what is done already is not asked again.

    Raises:
        LapdError: as `lapd.experiment.arms.evaluate_arms` and `lapd.report.page.write_report`.
    """
    from lapd.report.page import write_report

    started = time.perf_counter()
    writable_folder(folder)
    begun = _begun(audited, folder, wanted)
    before: float = begun["seconds"] if begun else plan.speed_s

    def note() -> float:
        """Keep the plan, and what everything took so far."""
        seconds = round(before + time.perf_counter() - started, 1)
        what = {"schema": SCHEMA, "of": _identity(audited, wanted), "plan": plan.as_json(), "seconds": seconds}
        write_json(folder / RECORD, what)
        return seconds

    done, every = plan_done(audited, folder, wanted, plan)
    if done < every or not (folder / RECORD).is_file():
        note()
    served = isinstance(audited.base, ServedModel)
    settings = wanted.settings(served, plan.limits)
    try:
        evaluate_arms(
            audited.base, audited.arms, plan.names, folder, settings, batch_size=wanted.batch_size, quiet=quiet
        )
    finally:
        if done < every:
            note()
    page = write_report(folder)
    told = tell(folder, page, plan)
    return replace(told, took_s=note() if done < every else before)


def _begun(audited: Audited, folder: Path, wanted: Wanted) -> dict[str, Any] | None:
    """The folder's record, where it is of this audit; else None.

    Raises:
        DataError: what is there is no such record.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    record = read_record(path, SCHEMA)
    try:
        found = {"of": record["of"], "plan": plan_of(record["plan"]), "seconds": float(record["seconds"])}
    except (KeyError, TypeError, ValueError, AttributeError):
        hint = "Delete it: the audit is planned anew, and what was answered is kept."
        raise DataError(path, "this is no record of an audit.", hint=hint) from None
    return found if found["of"] == _identity(audited, wanted) else None


def _identity(audited: Audited, wanted: Wanted) -> dict[str, Any]:
    """What makes it the same audit."""
    arms = {
        arm.name: [arm.adapter.digest, arm.adapter.strength, arm.adapter.persona] for arm in audited.arms if arm.adapter
    }
    settings = [wanted.seed, wanted.settings(isinstance(audited.base, ServedModel)).dtype]
    digest = digest_json([audited.base.digest, arms, settings])
    return {"minutes": wanted.minutes, "seed": wanted.seed, "arms": list(arms), "digest": digest}


def _cells(audited: Audited, names: Sequence[str], settings: Settings, arms: Sequence[Arm]) -> list[Cell]:
    return plan_cells(audited.base, arms, names, settings, quiet=True)
