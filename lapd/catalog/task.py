"""What LAPD knows of a task, and the digest of all that settles what it asks and how it scores."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lapd.catalog.sources import declared_files, digest_of, digest_tree, files_of, named_files, shared_files
from lapd.errors import DataError, PluginError
from lapd.files.whole import digest_file, digest_files, digest_json
from lapd.judges.questions import HARM, REFUSAL
from lapd.names import find_pack

SIDES = ("trait", "cost", "check")
"""On which side a task stands: what a persona is to change, what it may cost, or whether either can be trusted."""

TOPICS = ("safe", "social")
"""What a task of a cost may be about that a report asks of on its first screen, in that order."""

GRADE = "grade"
"""The primary metric of a task whose answers have to be graded first: whatever grader was the first to do so."""

USUAL = ("acc_norm", "acc", "exact_match")
"""What sums up a task that does not say: the first of these that it has."""


@dataclass(frozen=True)
class GroupMetric:
    """A metric that a group of tasks has over all of them: the mean of theirs.

    Attributes:
        metric: its name.
        filters: the names of the tasks' filters that count; None for all that there are.
        weighted: whether a task counts by its documents; else all alike.
    """

    metric: str
    filters: tuple[str, ...] | None = None
    weighted: bool = True


@dataclass(frozen=True)
class Group:
    """A group of lm-eval's, such as mmlu: tasks, and what they come to together.

    Attributes:
        name: as `--tasks` takes it.
        tasks: the names of all tasks in it.
        metrics: what it has over all of them; empty for a group that is only a list.
    """

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[GroupMetric, ...] = ()


@dataclass(frozen=True)
class Refusals:
    """Where a judge may tell whether a response refuses, in place of the task's own scoring.

    Attributes:
        prompt: the document field with the prompt.
        metric: what the verdict is a value of; `{field}` stands for a document's field, as in "refused_{kind}".
    """

    prompt: str
    metric: str

    def metric_of(self, doc: Mapping[str, object]) -> str:
        """The metric that a document's verdict is a value of.

        Raises:
            PluginError: the document has not the fields that it takes.
        """
        try:
            return self.metric.format_map(doc)
        except (AttributeError, LookupError, ValueError) as error:
            what = f"`refusals` names the metric {self.metric!r}, which a document cannot fill ({error})."
            raise PluginError(what) from None


@dataclass(frozen=True)
class TaskInfo:
    """One lm-eval task.

    Attributes:
        name: as `--tasks` takes it.
        folder: where its YAML lies.
        include_path: what lm-eval must be told to find it; None for lm-eval's own tasks.
        version: from its metadata.
        description: one line.
        kind: lm-eval's output type.
        metrics: the names in its metric list.
        lower: those of which less is better.
        topic: one of `TOPICS`, where its plugin says so.
        side: one of `SIDES`; "" where it does not say.
        primary: the one metric, or family of axis metrics, that sums it up; None where it does not say.
        margins: by metric or family, differences that make no odds, in the unit in which tables show them.
        cluster: the document field of what items belong to together, such as one passage; None where each stands alone.
        held: where items are asked behind other talk: the family of axis metrics of the plain ones ("plain") and of
            each context, or two of them: behind a turn in the voice of an axis's first pole, and of its second.
        item: the document field that tells which item a document belongs to; None pairs by position.
        axes: for each family of metrics, the metric of each axis: {"log_odds": {"E/I": "log_odds_EI", ...}}.
        parts: the same for parts of the items that are no axes, such as categories.
        judged: the document field with the prompt, where a judge decides on the responses.
        refusals: where a judge may tell refusals in place of its own scoring; None where nobody does.
        differences: metrics that are the difference of two others, first less second, item by item.
        graded: the document field with the prompt, where a grader may grade the responses.
        units: the unit of each metric or family, where it is not a share of 1.
        diagnostics: metrics that tell how far the others can be trusted, such as a position bias.
        self_report: whether it asks the model about itself instead of watching what it does.
        data: its data, below its trait pack's folder if it has one, else below `lapd.data`.
        traits: the name of the trait pack that its data belong to.
        publisher: the folder below --data-dir with its data, if they are not shipped.
        parsed: the metric (0 or 100 a document) that tells whether a response could be parsed, if it has one.
        parallel: the task whose parallel form this one is, item by item.
        questionnaire: whether it takes somebody else's questionnaire (--questionnaire) instead of its own.
        pairs: whether it asks pairs of one's own: an adapter's, or those of --pairs.
        asked: the file of these pairs, once it is known.
        moved: metrics of which the share of items that moved up is shown too.
        written: the YAML of a task that follows from its trait pack's data and lies in no file.
        code: modules beside its folder that decide its scores; part of its digest, as the folder is.
        scorer: what scores a document, "FOLDER/module.function"; None where lm-eval does.
        filters: the names of the ways in which an answer is read, where its YAML names any.
        files: what it declares as its own outside its folder, as patterns from there.
        named: what its YAML gives to `datasets`, some of which may be files here.
        included: files of other folders that its YAML includes, and the code beside them.
        imported: modules that its YAML takes functions from and that are not beside it.
        through: the group by which lm-eval must load it; None where it is a task by itself.
        setting: what that group sets otherwise than the task's own YAML, as JSON.
        groups: those that it was asked for with.
    """

    name: str
    folder: Path
    include_path: Path | None
    version: str
    description: str = ""
    kind: str = ""
    metrics: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()
    topic: str = ""
    side: str = ""
    primary: str | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    cluster: str | None = None
    held: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    differences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    item: str | None = None
    axes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    judged: str | None = None
    refusals: Refusals | None = None
    graded: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    diagnostics: tuple[str, ...] = ()
    self_report: bool = False
    data: tuple[str, ...] = ()
    traits: str | None = None
    publisher: str | None = None
    parsed: str | None = None
    parallel: str | None = None
    questionnaire: bool = False
    pairs: bool = False
    asked: Path | None = None
    moved: tuple[str, ...] = ()
    written: str | None = None
    code: tuple[str, ...] = ()
    scorer: str | None = None
    filters: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    included: tuple[Path, ...] = ()
    imported: tuple[str, ...] = ()
    through: str | None = None
    setting: str = ""
    groups: tuple[Group, ...] = field(default=(), compare=False)

    def family(self, metric: str) -> tuple[str, str | None]:
        """The family and axis (or part) of a metric: ("log_odds", "E/I"), or (metric, None) for one without.

        Of a metric with a filter's name (see `metric_name`) it is that of the metric without.
        """
        plain = metric.partition(",")[0]
        for family, by_axis in (*self.axes.items(), *self.parts.items()):
            for axis, name in by_axis.items():
                if name == plain:
                    return family, axis
        return plain, None

    @property
    def question(self) -> str:
        """What a judge is asked of the responses, of `lapd.judges.questions`; "" where none is asked."""
        return HARM if self.judged else REFUSAL if self.refusals else ""

    @property
    def writes(self) -> bool:
        """Whether the task is answered in writing."""
        return self.kind == "generate_until"

    def main(self, metrics: Iterable[str]) -> str | None:
        """The metric or family that sums the task up: its `primary`, else the usual one, or the first, of `metrics`."""
        plain = [name.partition(",")[0] for name in metrics if name.partition(",")[0] not in self.diagnostics]
        usual = next((name for name in USUAL if name in plain), None)
        return self.primary or usual or (self.family(plain[0])[0] if plain else None)

    def unit(self, metric: str) -> str:
        """What the metric is counted in; a share of 1 unless the task says otherwise."""
        return self.units.get(self.family(metric)[0], "share")

    def digest(self, data_dir: str | None, questionnaire: str | None = None) -> str:
        """SHA-256 over everything on disk that settles what the task asks and how it scores."""
        parts = [digest for group in self._parts(data_dir, questionnaire).values() for digest in group]
        return digest_json([self.name, self.version, parts])

    def digests(self, data_dir: str | None, questionnaire: str | None = None) -> dict[str, str | None]:
        """What goes into `digest`, apart: `task` (its files), `data`, `questionnaire`, `code`; None for nothing."""
        parts = self._parts(data_dir, questionnaire)
        return {group: digest_json(digests) if digests else None for group, digests in parts.items()}

    def _parts(self, data_dir: str | None, questionnaire: str | None) -> dict[str, list[str]]:
        from lapd.data import FOLDER

        task = digest_json(self.written) if self.written else digest_tree(self.folder, files_of(self.folder))
        parts: dict[str, list[str]] = {"task": [task], "data": []}
        if self.include_path:
            parts["task"].append(digest_tree(self.include_path, shared_files(self.include_path)))
        parts["task"] += [digest_of(path) for path in self.included]
        parts["task"] += [digest_json(self.setting)] if self.setting else []
        parts["task"] += ["each filter apart"] if len(self.filters) > 1 else []  # LAPD 0.1 put them together
        theirs = [*declared_files(self.folder, self.files), *named_files(self.named)]
        parts["data"] += [digest_json([[path.name, digest_of(path)] for path in theirs])] if theirs else []
        if self.data:
            parts["data"].append(digest_file(FOLDER / "__init__.py"))
        home = find_pack(self.traits).folder if self.traits else FOLDER
        for name in self.data:
            path = home / name
            parts["data"].append(digest_files(home, sorted(path.rglob("*.json*")) if path.is_dir() else [path]))
        root = data_dir or os.environ.get("LAPD_DATA_DIR")
        if self.publisher and root:
            folder = Path(root).expanduser() / self.publisher
            if not folder.is_dir():
                raise DataError(folder, f"there is no such folder, which {self.name} needs.", hint="See `lapd doctor`.")
            parts["data"].append(digest_files(folder, [p for p in folder.iterdir() if p.is_file()]))
        asked = [Path(questionnaire).expanduser(), _source("lapd.questionnaires.reading")] if questionnaire else []
        parts["questionnaire"] = [digest_file(path) for path in asked if self.questionnaire]
        if self.asked:
            parts["data"].append(digest_file(self.asked))
        parts["code"] = [digest_file(_source(module)) for module in self.code]
        parts["code"] += [digest_of(place) for module in self.imported if (place := _find_source(module))]
        return parts


def metric_name(metric: str, filter_name: str, several: bool) -> str:
    """A metric's name, as lm-eval prints it where a task has several filters: "exact_match,strict-match"."""
    return f"{metric},{filter_name}" if several else metric


def _source(module: str) -> Path:
    """The file of a module, without importing it.

    Raises:
        PluginError: there is no such module, or it has no source.
    """
    place = _find_source(module)
    if place is None:
        raise PluginError(f"A task names the module {module} under `code`, but there is none.")
    return place


def _find_source(module: str) -> Path | None:
    """The file of a module, without importing it; None for one that is not there, or has no source."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None
