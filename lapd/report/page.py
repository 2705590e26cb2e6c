"""The report: one HTML page that holds all it needs, made from a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lapd._version import __version__
from lapd.adapters.outcome import outcome, told
from lapd.compare.comparisons import Compared, Comparison, compare_measured
from lapd.compare.measured import read_measured
from lapd.files.whole import write_text
from lapd.items.gather import arms_of
from lapd.items.words import WordTable, as_json, word_tables
from lapd.names import get_persona
from lapd.pictures.curves import training_pictures
from lapd.record.reading import ReadCell
from lapd.report.contents import RunContents, UsedAdapter, read_run
from lapd.report.glance.glance import at_a_glance
from lapd.report.labels import by_task, comparisons, is_diagnostic, metric_label, moved, shown, unit
from lapd.report.limits import limits
from lapd.report.methods import methods
from lapd.report.plots import profile_pictures
from lapd.report.rendering import SCRIPTS, anchor, outline, render
from lapd.report.responses import ShownTask, index, shown_tasks
from lapd.report.summary import summaries

SETTINGS = {
    "trainer": "trainer",
    "beta": "DPO beta",
    "epochs": "epochs",
    "lr": "peak learning rate",
    "batch_size": "pairs a step",
    "grad_accum": "steps accumulated",
    "r": "LoRA rank",
    "alpha": "LoRA alpha",
    "steered": "steers the output of",
    "coefficient": "steering coefficient",
    "max_length": "longest pair (tokens)",
    "precision": "precision",
    "seed": "seed",
}
"""The training settings that matter to a reader, and what they are called."""

HEADINGS = {
    False: ("What the model does", "What it answers, chooses or finds likely when it is not asked about itself."),
    True: ("What the model says of itself", "Its answers to questions about itself: no evidence of what it does."),
}
"""The two blocks of results, by whether the task is a self-report: heading and explanation."""

NAMES = {False: "does", True: "says"}
"""What the two are called in links."""

NAMED = 6
"""A title names so many adapters, and counts more."""


def write_report(
    folder: Path,
    out: Path | None = None,
    judge: str | None = None,
    persona: str | None = None,
    samples: int | None = None,
) -> Path:
    """Write the report of a run; a page that says the same already is left as it is.

    Args:
        folder: the run folder.
        out: the page; None for `report.html` in the run folder, which is the run's own, or with a judge or persona
            `report-JUDGE-PERSONA.html`.
        judge: whose verdicts judged tasks are scored by; see `lapd.compare.comparisons.compare`.
        persona: whose poles adapters count towards that have no persona of their own.
        samples: so many items of each task at most, those that changed most; None for all.

    Returns:
        The page's path.

    Raises:
        StoreError: the folder is no run, a newer LAPD wrote it, there is nothing to compare, or there are no verdicts
            called `judge`.
        UsageError: there is no such persona, or no adapter without one.
        OSError: the page cannot be written.
    """
    page = out or folder / page_name(judge, persona)
    text = report_text(folder, judge, persona, samples)
    if not page.is_file() or page.read_bytes() != text.encode():
        write_text(page, text)
    return page


def report_text(
    folder: Path,
    judge: str | None = None,
    persona: str | None = None,
    samples: int | None = None,
    *,
    live: str = "",
    scripts: Sequence[str] = SCRIPTS,
) -> str:
    """The page of a run; see `write_report`, which writes it. Nothing is written here.

    Args:
        folder: the run folder.
        judge, persona, samples: as `write_report` takes them.
        live: of a page that is served while the run goes on: what stands above it, as HTML.
        scripts: the parts of its script.
    """
    from markupsafe import Markup

    measured = read_measured(folder, judge, persona)
    compared = compare_measured(measured)
    run = read_run(folder, judge)
    words = word_tables(run.cells, arms_of(run.record, persona))
    glance = at_a_glance(run, measured, compared.rows)
    context = _context(run, compared, shown_tasks(run, samples, persona), words, glance)
    return render({**context, "live": Markup(live)}, scripts=scripts)


def words_of_run(folder: Path, judge: str | None = None, persona: str | None = None) -> list[dict[str, Any]]:
    """What each arm says more and less than its baseline, as JSON; see `lapd.items.words.WordTable`."""
    run = read_run(folder, judge)
    return as_json(word_tables(run.cells, arms_of(run.record, persona)))


def page_name(judge: str | None, persona: str | None) -> str:
    """The page's name: what is read with another judge or persona never takes the place of the run's own report."""
    return "-".join(["report", *filter(None, [judge, persona and get_persona(persona).code])]) + ".html"


def _context(
    run: RunContents, compared: Compared, tasks: list[ShownTask], words: list[WordTable], glance: dict[str, Any]
) -> dict[str, Any]:
    """What the template shows, in the page's order."""
    rows = compared.rows
    blocks = _blocks(run, rows)
    legend, pictures = profile_pictures(run)
    base = run.record["base"]
    return {
        "title": f"{_subjects(run)} on {base['name']}",
        "date": max(cell.result["finished"] for cell in run.cells)[:10],
        "unfinished": run.unfinished,
        "summaries": summaries(rows),
        "notes": list(dict.fromkeys(row.note for row in rows if row.note)),
        "gaps": [*compared.warnings, *compared.notes],
        "blocks": blocks,
        "contents": outline(blocks, {**glance, "profile": pictures, "words": words, "training": run.adapters}),
        "profile": {"legend": legend, "pictures": pictures},
        "tasks": tasks,
        "index": index(tasks),
        "words": words,
        "trainings": [_training(n, adapter) for n, adapter in enumerate(run.adapters)],
        "rows": [_row(row) for row in rows],
        "arms": run.record["arms"],
        "base": base,
        "versions": versions(run.cells),
        "limits": limits(run, rows),
        "methods": methods(run, rows, bool(words)),
        "lapd": __version__,
        **glance,
    }


def _subjects(run: RunContents) -> str:
    """What the run is about: its adapters, named with their persona where the name is another; else its prompts.

    Controls are not what it is about, unless there is nothing else.
    """
    arms = [arm for arm in run.record["arms"].values() if arm["adapter"]]
    arms = [arm for arm in arms if not arm.get("adapter_control")] or arms
    personas = {arm["adapter"]["name"]: arm["adapter_persona"] for arm in arms}
    names = [n if code in (None, n) else f"{n} ({code})" for n, code in personas.items()]
    prompts = {f"{p['code']} as a prompt": None for arm in run.record["arms"].values() if (p := arm["prompt"])}
    named = names or list(prompts)
    if len(named) > NAMED:
        return f"{len(named)} {'adapters' if names else 'prompts'}"
    return ", ".join(named)


def _blocks(run: RunContents, rows: list[Comparison]) -> list[dict[str, Any]]:
    """The headline rows with their task's diagnostics: doing, then saying; by comparison, then by task."""
    blocks = []
    for self_report, (heading, note) in HEADINGS.items():
        chosen = [r for r in rows if (r.headline or is_diagnostic(r)) and r.self_report == self_report]
        tables = [
            {
                "arm": arm,
                "baseline": baseline,
                "anchor": anchor(NAMES[self_report], arm, baseline),
                "waiting": sorted({task for name, task in run.waiting if name in (arm, baseline)}),
                "any_missing": any(row.missing for row in group if not row.coherence),
                "tasks": [
                    {
                        "name": task,
                        "description": ". ".join(filter(None, [_description(run, task), part[0].note])),
                        "headline": [_row(row) for row in part if row.headline],
                        "diagnostics": [_row(row) for row in part if not row.headline and not row.coherence],
                        "coherence": [_row(row) for row in part if row.coherence],
                    }
                    for task, part in by_task(group).items()
                ],
            }
            for (arm, baseline), group in comparisons(chosen).items()
        ]
        if tables:
            blocks.append({"name": NAMES[self_report], "heading": heading, "note": note, "tables": tables})
    return blocks


def _row(row: Comparison) -> dict[str, Any]:
    label = metric_label(row)
    return {
        "row": row,
        "label": label,
        # Not "words words", nor "likelihood in nats nats".
        "unit": "" if unit(row) in label.replace(",", "").split() else unit(row),
        "shown": shown(row),
        "moved": moved(row),
        "up": row.difference > 0,
    }


def _description(run: RunContents, task: str) -> str:
    return run.infos[task].description.rstrip(".") if task in run.infos else ""


def _training(n: int, adapter: UsedAdapter) -> dict[str, Any]:
    card = adapter.card
    if card is None:
        return {"adapter": adapter, "facts": {}, "curves": [], "told": []}
    settings, data = card["settings"], card["data"]
    by_axis = ", ".join(f"{count} {axis}" for axis, count in data["sources"].get("pairs_by_axis", {}).items())
    facts = {
        "persona": card["persona"],
        "control": card.get("control"),
        "base": card["base"]["name"],
        "pairs": f"{data['pairs']} ({by_axis})" if by_axis else data["pairs"],
        "from": data["sources"].get("from"),
        **{label: settings.get(key) for key, label in SETTINGS.items()},
        "held-out": came_to.scores if (came_to := outcome(card)) else None,
        "took": f"{card['seconds'] / 60:.1f} minutes",
        "finished": card["finished"][:10],
    }
    heldout = came_to.pairs if came_to else None
    curves = training_pictures(card["log"], f"training{n}", heldout) if card["log"] else []  # a merged adapter has none
    shown = {name: value for name, value in facts.items() if value is not None}
    return {"adapter": adapter, "facts": shown, "curves": curves, "told": told(card, adapter.name)[1:]}


def versions(cells: list[ReadCell]) -> dict[str, str]:
    """What the cells were made with; where they differ, all of it."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name, value in cell.result["provenance"].items():
            if isinstance(value, (str, int)) and name != "started":  # the rest is of one cell
                found.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(values) for name, values in found.items()}
