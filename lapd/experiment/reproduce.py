"""`lapd reproduce`: run a finished cell again from what its record says, and tell whether it comes out the same.

Before anything is run, what went in is held against the record: a cell on another base, adapter, task or other data
would not be that cell. A record may be somebody else's: the server that it names is asked only if that address is given
in the call, and gets no key but the one that is named for it there.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.adapters.adapter import Adapter, resolve_adapter
from lapd.adapters.whole import WHOLE, resolve_models
from lapd.catalog.groups import find_member
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import StoreError, UsageError
from lapd.evaluate.served import ServedModel, served_adapters, served_model, served_name
from lapd.files.whole import digest_json, read_record
from lapd.judges.choosing import choose_judge
from lapd.judges.judge import judge_identity
from lapd.models.base import BaseModel, resolve_base
from lapd.models.identity import changed_files
from lapd.personas import Persona
from lapd.record.cells import Arm, Cell, Settings
from lapd.record.store import RESULT_SCHEMA, Store

if TYPE_CHECKING:
    from lapd.hookspecs import Judge

TOLERANCE = 1e-3
"""So far log-likelihoods (nats) may lie apart: more than rounding on another processor brings about in float32."""


@dataclass(frozen=True)
class Comparison:
    """How a cell came out the second time.

    Attributes:
        documents: how many there are in the record.
        identical: whether every response and metric is the same to the last digit.
        largest_difference: of a log-likelihood, in nats; None where one is on one side only.
        differing: the items that do not agree: another request, text or greedy choice, a log-likelihood or metric
            further away than the tolerance.
        tolerance: in nats.
    """

    documents: int
    identical: bool
    largest_difference: float | None
    differing: list[str]
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the record stands."""
        return not self.differing

    @property
    def verdict(self) -> str:
        """One of "identical", "equal within 2.1e-06" (nats) and "differs"."""
        if self.differing:
            return "differs"
        return "identical" if self.identical else f"equal within {self.largest_difference:.2g}"


def reproduce(
    folder: Path,
    options: Sequence[str] = (),
    tolerance: float = TOLERANCE,
    *,
    base_url: str | None = None,
    key_variable: str | None = None,
) -> tuple[Comparison, dict[str, Any]]:
    """Run the cell in `folder` again, and compare.

    Args:
        folder: the cell's.
        options: "key=value" settings of its judge, if it has one; its own are known without what is secret.
        tolerance: how far log-likelihoods may lie apart, in nats.
        base_url: of the server that answered, if one did: that it is given agrees to asking it again.
        key_variable: the environment variable with the key for that server.

    Returns:
        The comparison, and what else was different: {"torch": ["2.13.0", "2.14.0"], ...}.

    Raises:
        StoreError: there is no finished cell, its record is too old, or what went in is not what it was.
        UsageError: a server answered, and `base_url` is not its address; or there is no key for it.
        LapdError: a model or task cannot be had.
    """
    record = read_cell(folder)
    cell = cell_of(folder, record, options, base_url, key_variable)
    with tempfile.TemporaryDirectory(prefix="lapd-reproduce-") as temporary:
        store = Store(Path(temporary))
        _run(cell, store, int(record["inputs"]["batch_size"]), record["inputs"].get("date"))
        again, samples = store.result(cell.name), store.samples(cell.name)
    old = Store(folder.parent.parent).samples(folder.name)
    return compare(old, samples, record, again, tolerance), _changed(record["provenance"], again["provenance"])


def read_cell(folder: Path) -> dict[str, Any]:
    """The record of a finished cell that holds enough to run it again.

    Raises:
        StoreError: it is none.
    """
    if not (folder / "result.json").is_file():
        raise StoreError(f"{folder} is no finished cell: it has no result.json.", "`lapd eval --plan` lists cells.")
    record = read_record(folder / "result.json", RESULT_SCHEMA)
    if "inputs" not in record:
        hint = "Evaluate it again with this one to be able to."
        raise StoreError(f"{folder}: made by a LAPD that did not note what is needed to reproduce it.", hint)
    return record


def server_of(record: Mapping[str, Any]) -> str | None:
    """The address of the server that answered a cell, as its record has it; None where the model was loaded here."""
    address = record["inputs"]["base"].get("base_url")
    return None if address is None else str(address)


def cell_of(
    folder: Path,
    record: Mapping[str, Any],
    options: Sequence[str] = (),
    base_url: str | None = None,
    key_variable: str | None = None,
) -> Cell:
    """The cell that the record is of, with everything that goes into it found and checked; arguments as `reproduce`.

    Raises:
        UsageError: `base_url` is not the address of the server that answered.
        StoreError: what goes into it now is not what went into it then.
    """
    then, inputs = record["cell"], record["inputs"]
    _check_agreed(folder, server_of(record), base_url)
    base = _base(inputs["base"], key_variable)
    adapter = _adapter(inputs["adapter"], base)
    info = find_member(then["task"], inputs.get("group"))
    if asked := inputs.get("pairs"):
        info = replace(info, asked=Path(asked))
    data_dir, questionnaire = inputs["data_dir"], inputs["questionnaire"]
    now = {
        "base": base.digest,
        "adapter": adapter.digest if adapter else None,
        **info.digests(data_dir, questionnaire),
    }
    if (noted := record["provenance"]["digests"]["base"]) in base.digests:
        base, now["base"] = replace(base, digest=noted), noted  # by the digest that it had under an older LAPD
    where = {"base": base.path, "adapter": adapter and adapter.path, "data": data_dir, "questionnaire": questionnaire}
    for what, digest in now.items():
        if (old := record["provenance"]["digests"][what]) != digest:
            names = {"task": f"the task {info.name}", "data": f"the data of {info.name}", "code": "the task's code"}
            place = f" ({where[what]})" if where.get(what) else ""
            files = inputs["base"].get("files") if what == "base" else None
            parts = changed_files(files, base.files) if files else []
            what = names.get(what, f"the {what}") + (f"'s {', '.join(parts)}" if parts else "")
            raise StoreError(f"{folder}: {what}{place} is not what it was: {_short(digest)}, then {_short(old)}.")
    persona = Persona(**inputs["persona"]) if inputs["persona"] else None
    settings = Settings(
        then["seed"],
        then["limit"],
        then["dtype"],
        data_dir,
        questionnaire,
        then.get("fold_system_prompt", False),
        balanced=then.get("balanced", False),
        **then.get("sampling", {}),
    )
    digest = info.digest(data_dir, questionnaire)
    cell = Cell(base, Arm(adapter, persona), info, digest, settings, _judge(folder, then.get("judge"), options))
    if cell.identity() != then:
        changed = sorted(key for key in {**then, **cell.identity()} if then.get(key) != cell.identity().get(key))
        raise StoreError(f"{folder}: {', '.join(changed)} is not what it was; this would be another cell.")
    return cell


def _short(digest: str | None) -> str:
    return f"digest {digest[:12]}" if digest else "none"


def _check_agreed(folder: Path, noted: str | None, given: str | None) -> None:
    """Refuse to ask a server that only the record names, or another than it names."""
    if noted is None and given:
        raise UsageError(f"{folder}: its model was loaded, and no server answered.", "Leave --base-url out.")
    if noted is not None and given is None:
        hint = "If it may be asked, give its address with --base-url, and its key's variable with --api-key-env."
        raise UsageError(f"{folder}: its record says that the answers came from {noted!r}.", hint)
    if noted is not None and given is not None and noted.rstrip("/") != given.rstrip("/"):
        raise UsageError(f"{folder}: its record says that the answers came from {noted!r}, not from {given!r}.")


def _base(noted: Mapping[str, Any], key_variable: str | None) -> BaseModel:
    """The base model under its name; one that is a folder under its whole path, wherever this is called."""
    if "base_url" in noted:
        return served_model(Endpoint(noted["name"], noted["base_url"], key_variable), noted.get("tokenizer"))
    is_folder = noted["upstream"] == noted["path"]
    base = resolve_base(noted["path"] if is_folder else noted["name"])
    return replace(base, name=noted["name"])


def _adapter(noted: Mapping[str, Any] | None, base: BaseModel) -> Adapter | None:
    if noted is None:
        return None
    if isinstance(base, ServedModel):
        (adapter,) = served_adapters([served_name(noted["name"], noted["path"])], base.endpoint)
        return adapter
    if noted.get("kind") == WHOLE:
        (model,) = resolve_models([f"{noted['name']}={noted['path']}"], base)
        return model
    adapter = replace(resolve_adapter(noted["path"]), name=noted["name"])  # its folder's may be one that no arm has
    return adapter if noted["strength"] == 1 else adapter.at(noted["strength"])


def _judge(folder: Path, identity: Mapping[str, Any] | None, options: Sequence[str]) -> Judge | None:
    if identity is None:
        return None
    judge = choose_judge(identity["name"], options)
    if (now := judge_identity(judge)) != identity:
        changed = [k for k in {**identity, **now} if identity.get(k) != now.get(k)]
        hint = f"It was judged with {dict(identity['settings'])}; give the same with --judge-option."
        raise StoreError(f"{folder}: the judge {judge.name} has other {', '.join(changed)}.", hint)
    return judge


def _run(cell: Cell, store: Store, batch_size: int, date: str | None) -> None:
    from lapd.answering.engine import Engine

    settings = cell.settings
    engine = Engine(
        cell.base,
        [cell.arm.adapter] if cell.arm.adapter else [],
        settings.dtype,
        settings.data_dir,
        batch_size,
        settings.questionnaire,
        quiet=True,
        date=date,
    )
    engine.run(cell, store)


def compare(
    old: Sequence[Mapping[str, Any]],
    new: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any],
    again: Mapping[str, Any],
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Hold a cell's documents and metrics against those of another run of it.

    Args:
        old, new: what was kept of each document.
        record, again: the two results.
        tolerance: how far log-likelihoods may lie apart, in nats; metrics a thousandth of their value.
    """
    kept = {key for sample in old for key in sample}  # an older LAPD kept less
    alike = [{key: value for key, value in sample.items() if key in kept} for sample in new]
    identical = digest_json([list(old), record["metrics"]]) == digest_json([alike, again["metrics"]])
    there = {_place(sample): sample for sample in new}
    differing, largest = [], 0.0
    known = len(old) == len(new)
    for sample in old:
        other = there.get(_place(sample))
        distance = _distance(sample, other) if other else None
        close = other is not None and _close(sample["metrics"], other["metrics"], tolerance)
        if distance is None or distance > tolerance or not close:
            differing.append(sample["item"])
        known = known and distance is not None
        largest = max(largest, distance or 0.0)
    if len(new) != len(old):
        differing += [sample["item"] for sample in new if _place(sample) not in set(map(_place, old))]
    if not differing and not _close(record["metrics"], again["metrics"], tolerance):
        differing.append("the metrics over all documents")
    return Comparison(len(old), identical, largest if known else None, differing, tolerance)


def _place(sample: Mapping[str, Any]) -> tuple[Any, Any]:
    """Which document it is, and of several answers that were drawn to it the number."""
    return sample["doc_id"], sample.get("sample")


def _distance(a: Mapping[str, Any], b: Mapping[str, Any]) -> float | None:
    """The largest difference of a log-likelihood between two runs of a document; None if something else differs."""
    if [a["item"], a["arguments"]] != [b["item"], b["arguments"]]:
        return None
    ours, theirs = list(_values(a["responses"])), list(_values(b["responses"]))
    if len(ours) != len(theirs):
        return None
    largest = 0.0
    for x, y in zip(ours, theirs, strict=True):
        if type(x) is float and type(y) is float:
            largest = max(largest, 0.0 if x == y else abs(x - y))
        elif x != y:
            return None
    return largest


def _values(responses: Any) -> Iterable[Any]:
    """Every number, truth value and text in a document's responses."""
    if isinstance(responses, list):
        for part in responses:
            yield from _values(part)
    else:
        yield responses


def _close(a: Mapping[str, float], b: Mapping[str, float], tolerance: float) -> bool:
    # A metric may be the difference of two log-likelihoods, each a tolerance away, or a score of 100 points.
    return a.keys() == b.keys() and all(
        math.isclose(a[name], b[name], rel_tol=tolerance, abs_tol=2 * tolerance) for name in a
    )


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What the two were made with that is not the same; what is of one process only does not count."""
    of_one = {"process", "work", "started", "digests"}
    return {
        name: [then.get(name), now.get(name)]
        for name in {**then, **now}
        if name not in of_one and then.get(name) != now.get(name)
    }


def find_cell(cell: str, run: Path | None) -> Path:
    """The folder of a cell that is named by its folder, or by its name in the run folder `run`.

    Raises:
        StoreError: there is none.
    """
    folder = Store(run).cell_folder(cell) if run else Path(cell)
    if not os.path.isdir(folder):  # noqa: PTH112
        hint = "" if run else "Give the cell's folder, or its name with --run RUN."
        raise StoreError(f"{folder}: there is no such cell.", hint)
    return folder.resolve()
