"""How large is the report's page, and how soon does a browser paint it? On made-up cells, for two sizes of run.

    python benchmarks/report.py --json        some minutes: a run of 16 x 8 x 700 is made and read
    python benchmarks/report.py --only demo

The cells are made up and go through the store as real ones do: words drawn by Zipf's law from a small vocabulary where
a task is answered in writing, random log-likelihoods where it is not. What is printed, for each size:

- `bytes`: of the page; `packed_bytes`: of the items in it.
- `first_paint_ms`: a Chromium's own `first-contentful-paint`, counted from the navigation, the median of five fresh
  tabs; `items_ms`: until the first items can be read; null where there is no Chromium.
- `items`: all of the run's items; `answers`: all arms' answers to them; `write_s`: what it takes to write the page.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from chromium import PROGRAM, browser

from lapd.adapters.adapter import resolve_adapters
from lapd.catalog.find import tasks
from lapd.catalog.task import TaskInfo
from lapd.evaluate.plan import make_arms, make_cells
from lapd.files.whole import write_json, write_jsonl
from lapd.models.base import BaseModel
from lapd.names import all_personas
from lapd.record.cells import Cell, Settings
from lapd.record.store import Store
from lapd.report.page import write_report

REPEATS = 5
WORDS = 70
"""Words of a written answer."""


@dataclass(frozen=True)
class Size:
    """A run's size.

    Attributes:
        personas: adapters beside the base.
        tasks: their names.
        samples: documents a task.
    """

    personas: int
    tasks: tuple[str, ...]
    samples: int


SIZES = {
    "demo": Size(1, ("situations", "mbti", "socialiqa_mini", "situations_open"), 64),
    "16x8x700": Size(
        16,
        (
            "situations",
            "socialiqa_mini",
            "knowledge_mini",
            "situations_open",
            "overrefusal",
            "socialiqa_mini_gen",
            "pressure_gen",
            "mbti_text",
        ),
        700,
    ),
}


def make_run(folder: Path, size: Size) -> Path:
    """A run whose cells are all finished; returns its folder."""
    base = BaseModel("made-up", folder / "base", "b" * 64, "nobody/made-up")
    for n, code in enumerate([code for code in all_personas() if len(code) == 4][: size.personas]):
        own = folder / "adapters" / code
        own.mkdir(parents=True)
        write_json(own / "adapter_config.json", {"peft_type": "LORA"})
        (own / "adapter_model.safetensors").write_text(str(n))
        card = {"schema": "lapd.run_card/1", "persona": code, "base": {"name": base.name, "digest": base.digest}}
        write_json(own / "run_card.json", card | {"log": [], "settings": {}, "data": {"pairs": 8, "sources": {}}}
                   | {"seconds": 1.0, "finished": "2026-01-01T00:00:00Z"})  # fmt: skip
    known = tasks()
    arms = make_arms(resolve_adapters([f"{folder}/adapters/*"]), ("base", "adapter"), quiet=True)
    cells = make_cells(base, arms, [known[name] for name in size.tasks], Settings())
    store = Store(folder / "run")
    store.enter(cells)
    for cell in cells:
        with store.claim(cell.name) as mine:
            assert mine, "nobody else is at a run that has just been made"
            _finish(cell, store, size.samples)
    return store.folder


def _finish(cell: Cell, store: Store, n: int) -> None:
    folder = store.cell_folder(cell.name)
    draw = random.Random(f"{cell.arm.name} {cell.task.name}")
    write_json(folder / "cell.json", cell.identity())
    write_jsonl(folder / "samples.jsonl", _samples(cell.task, draw, n))
    result = {"schema": "lapd.result/1", "cell": cell.identity(), "task_version": cell.task.version, "metrics": {}}
    write_json(folder / "result.json", result | {"provenance": {"lapd": "0"}, "finished": "2026-01-01T00:00:00Z"})


def _samples(task: TaskInfo, draw: random.Random, n: int) -> Iterator[dict[str, Any]]:
    metrics = next(iter(task.axes.values()), {"": task.primary or "acc"}).items()
    for number in range(n):
        axis, metric = list(metrics)[number % len(metrics)]
        question = random.Random(number)  # the same for every arm
        doc = {"item": f"item-{number}", "axis": axis, "prompt": _text(question, 25)}
        value = draw.gauss(0, 5) if task.unit(metric) == "nats" else float(draw.random() < 0.6)
        sample = {"doc_id": number, "item": doc["item"], "doc": doc, "metrics": {metric: value}}
        if task.writes:
            answer = {"arguments": [[doc["prompt"], {}]], "responses": [[_text(draw, WORDS)]]}
            yield sample | answer | {"coherence": {"longest_loop": 0.0, "words": float(WORDS)}}
        else:
            options = [_text(question, 12) for _ in range(3)]
            answer = {"arguments": [[doc["prompt"], text] for text in options]}
            yield sample | answer | {"responses": [[[draw.gauss(-30, 5), False]] for _ in options]}


VOCABULARY = [
    "".join(random.Random(n).choices("etaoinshrdlu" + "cmfwygpbvk", [9] * 12 + [3] * 10, k=2 + n % 9))
    for n in range(4000)
]
FREQUENCY = [1 / (rank + 2) for rank in range(len(VOCABULARY))]


def _text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(VOCABULARY, FREQUENCY, k=words)).capitalize() + "."


def painted(page: Path) -> tuple[float, float]:
    """Milliseconds to the first paint and to the first items, each the median of fresh tabs."""
    paints, items = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, browser(Path(profile)) as tab:
            tab.show(1400, 900)
            tab.open(page.as_uri())
            tab.until("document.getElementById('list').children.length > 0")
            items.append(tab.ask("performance.now()"))
            tab.until("performance.getEntriesByName('first-contentful-paint').length > 0")
            paints.append(tab.ask("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    return median(paints), median(items)


def measure(size: Size) -> dict[str, Any]:
    """What is printed of one size."""
    with tempfile.TemporaryDirectory() as made:
        run = make_run(Path(made), size)
        start = time.perf_counter()
        page = write_report(run)
        seconds = time.perf_counter() - start
        text = page.read_text(encoding="utf-8")
        packed = sum(len(part.partition("</script>")[0]) for part in text.split('<script type="text/plain"')[1:])
        paint, items = painted(page) if PROGRAM else (None, None)
    count = size.samples * len(size.tasks)
    return {
        "bytes": len(text.encode()),
        "packed_bytes": packed,
        "first_paint_ms": paint and round(paint),
        "items_ms": items and round(items),
        "items": count,
        "answers": count * (1 + size.personas),
        "write_s": round(seconds, 1),
    }


def main() -> None:
    """Make the runs, write their pages, have them painted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="JSON instead of lines")
    parser.add_argument("--only", choices=SIZES, help="this size alone")
    options = parser.parse_args()
    found = {name: measure(size) for name, size in SIZES.items() if options.only in (None, name)}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, numbers in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in numbers.items()))


if __name__ == "__main__":
    main()
