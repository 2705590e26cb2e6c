"""Groups and tags of tasks, and the files that settle what a task asks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wild_cases import expect, kind, problem
from wild_cases.cells import CHOICE, evaluated, known, stock

Case = tuple[str, str]


def grouped(setting: Mapping[str, Any] | None = None, **more: Any) -> str:
    """A group of first and second, with a mean of its own."""
    metrics = [{"metric": "acc", "aggregation": "mean", **more}]
    tasks = ["first", {"task": "second", **setting}] if setting else ["first", "second"]
    return json.dumps({"group": "NAME", "task": tasks, "aggregate_metric_list": metrics})


@kind("a group is its tasks, with the number that lm-eval gives it", slow=True)
def groups(folder: Path) -> Iterator[Case]:
    from lapd.evaluate.group_totals import group_totals
    from lapd.record.store import Store
    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    fewer = "process_docs: !function utils.fewer\n"
    cases = {
        "weighted": grouped(),
        "unweighted": grouped(weight_by_size=False),
        "inner": json.dumps({"group": "inner", "task": ["part"], "aggregate_metric_list": [{"metric": "acc"}]}),
        "setting": grouped({"description": "Think. "}),
    }
    parts = {"part": grouped()}
    with known(folder / "tasks", first=CHOICE, second=CHOICE + fewer, **cases, **parts) as tasks:
        with (tasks / "utils.py").open("a") as stream:
            stream.write("\ndef fewer(docs):\n    return docs.select(range(2))\n")
        for name in cases:
            found = evaluated(base, folder / name, name)
            total = {t.group: t.metrics for t in group_totals(Store(folder / name))}
            theirs = stock(base, tasks, name)
            yield f"{name}: tasks", expect(sorted(found), ["first", "second"])
            wanted = theirs.get("groups", theirs["results"])[name]["acc,none"]
            yield f"{name}: its number", expect(round(total[name]["acc"], 9), round(wanted, 9))


@kind("a name of a group or tag stands for its tasks; another is told the nearest")
def group_names(folder: Path) -> Iterator[Case]:
    from lapd.catalog.groups import find_tasks

    tagged = CHOICE + "tag: [wild_wet, wild_tag]\n"
    yamls = {
        "first": CHOICE, "second": tagged, "third": tagged,
        "nested": json.dumps({"group": "nested", "task": ["first", {"group": "part", "task": ["third"]}]}),
        "list": json.dumps({"group": "list", "task": ["wild_wet"]}),
        "both": json.dumps({"group": "both", "task": ["nested", "wild_wet"]}),
        "empty": json.dumps({"group": "empty", "task": []}),
        "astray": json.dumps({"group": "astray", "task": ["nowhere_at_all"]}),
    }  # fmt: skip
    with known(folder / "tasks", **yamls):
        for asked, wanted in (
            ("nested", ["first", "third"]),
            ("wild_wet", ["second", "third"]),
            ("wild_tag", ["second", "third"]),
            ("list", ["second", "third"]),
            ("both", ["first", "second", "third"]),
        ):
            yield asked, expect(sorted(info.name for info in find_tasks([asked], quiet=True)), wanted)
        yield "empty", problem(lambda: find_tasks(["empty"], quiet=True), "no task in the group empty")
        yield "astray", problem(lambda: find_tasks(["astray"], quiet=True), "nowhere_at_all")
        yield "misspelt", problem(lambda: find_tasks(["nestd"], quiet=True), "Did you mean nested")


@kind("whatever file settles what a task asks is in its digest, and nothing else is")
def digests(folder: Path) -> Iterator[Case]:
    from lapd.catalog.find import find_task

    def changes(place: Path, name: str = "odd") -> bool:
        place.parent.mkdir(parents=True, exist_ok=True)
        seen = set()
        for text in ("one", "two"):
            place.write_text(text)
            seen.add(find_task(name).digest(None))
        return len(seen) == 2

    names = ("items.jsonl", "items.csv", "items.parquet", "ITEMS.TSV", "items", "deep/er/items.json.gz", "items.db",
             "prompt.md", "a b.txt", "é.arrow", "more.py", "_base.yaml", "template.j2")  # fmt: skip
    others = ("README.md", "readme.MD", "LICENSE", "__pycache__/utils.pyc", ".git/x", ".DS_Store", "CHANGELOG.md")
    with known(folder / "tasks/odd", odd=CHOICE) as tasks:
        for name in (*names, *others):
            yield name, expect(changes(tasks / name), name in names)
    for number, place in enumerate(("PLACE/items.jsonl", "{test: [PLACE/*.jsonl]}", "{test: PLACE/items.jsonl}")):
        local = f"dataset_path: json\ndataset_kwargs: {{data_files: {place.replace('PLACE', str(folder / 'data'))}}}"
        (folder / "data").mkdir(exist_ok=True)
        with known(folder / f"tasks{number}", odd=CHOICE.replace("custom_dataset: !function utils.plain", local)):
            yield f"named as {place}", expect(changes(folder / "data/items.jsonl"), True)
