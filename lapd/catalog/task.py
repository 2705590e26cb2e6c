"""What LAPD knows of a task, and the digest of all that settles what it asks and how it scores."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lapd.errors import DataError, PluginError
from lapd.files.whole import digest_file, digest_files, digest_json
from lapd.names import find_pack


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
        item: the document field that tells which item a document belongs to; None pairs by position.
        axes: for each family of metrics, the metric of each axis: {"log_odds": {"E/I": "log_odds_EI", ...}}.
        parts: the same for parts of the items that are no axes, such as categories.
        judged: the document field with the prompt, where a judge decides on the responses.
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
    """

    name: str
    folder: Path
    include_path: Path | None
    version: str
    description: str = ""
    kind: str = ""
    metrics: tuple[str, ...] = ()
    item: str | None = None
    axes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    judged: str | None = None
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

    def family(self, metric: str) -> tuple[str, str | None]:
        """The family and axis (or part) of a metric: ("log_odds", "E/I"), or (metric, None) for one without."""
        for family, by_axis in (*self.axes.items(), *self.parts.items()):
            for axis, name in by_axis.items():
                if name == metric:
                    return family, axis
        return metric, None

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

        files = [p for p in self.folder.rglob("*") if p.suffix in (".py", ".yaml", ".json")]
        task = digest_json(self.written) if self.written else digest_files(self.folder, files)
        parts: dict[str, list[str]] = {"task": [task], "data": []}
        if self.include_path:  # what its tasks share
            parts["task"].append(digest_files(self.include_path, self.include_path.glob("*.py")))
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
        theirs = [Path(questionnaire).expanduser(), _source("lapd.questionnaires.reading")] if questionnaire else []
        parts["questionnaire"] = [digest_file(path) for path in theirs if self.questionnaire]
        if self.asked:
            parts["data"].append(digest_file(self.asked))
        parts["code"] = [digest_file(_source(module)) for module in self.code]
        return parts


def _source(module: str) -> Path:
    """The file of a module, without importing it.

    Raises:
        PluginError: there is no such module, or it has no source.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        spec = None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise PluginError(f"A task names the module {module} under `code`, but there is none.")
    return Path(spec.origin)
