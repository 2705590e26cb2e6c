"""Methods, ready to paste: what a run did, in a paragraph with its references, made from what its cells say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lapd.compare.comparisons import Comparison
from lapd.compare.verdicts import CONFIRMATORY
from lapd.items.visible import named
from lapd.record.cells import SERVED_DTYPE
from lapd.report.contents import RunContents

REFERENCES = Path(__file__).with_name("references.bib")

TRAINERS = {"trl": "vonwerra2020trl", "unsloth": "han2023unsloth"}
LOSSES = {
    "sigmoid": ("direct preference optimisation", "rafailov2023dpo"),
    "ipo": ("identity preference optimisation", "azar2024ipo"),
    "robust": ("direct preference optimisation, robust to noisy pairs", "chowdhury2024robust"),
}
TASKS = {"beavertails": "ji2023beavertails", "socialiqa": "sap2019socialiqa", "eqbench": "paech2023eqbench"}
"""References of tasks, by how their names begin; the small sets that LAPD ships in their form have none."""

TESTS = {
    "McNemar exact": "yes/no outcomes by McNemar's exact test, with Agresti and Min's interval "
    "[@mcnemar1947; @agresti2005]",
    "paired t": "other values by Student's t on the paired differences",
    "paired t and BCa": "few, highly skewed ones by Student's t and a BCa bootstrap, whichever is wider [@efron1987]",
    "t of clusters": "items that belong together by Student's t on their sums",
    "sign test": "shares of items that moved by the sign test",
    "t, items x trainings": "statements about a training by Student's t with items and trainings crossed",
}
"""What each test does, by its name in a row."""

SHOWN = 12
"""Characters of a digest that tell it from others."""


@dataclass(frozen=True)
class Methods:
    """A run's methods.

    Attributes:
        markdown: the paragraphs, with citations as pandoc reads them: "[@holm1979]".
        latex: the same, with `\\citep`.
        bibtex: an entry for each citation, and for each of lm-eval's tasks that brings its own.
        unknown: the tasks of others of which no reference is known.
    """

    markdown: str
    latex: str
    bibtex: str
    unknown: list[str]


def methods(run: RunContents, rows: Sequence[Comparison], words: bool = False) -> Methods:
    """What a run did.

    Args:
        run: what it holds.
        rows: its comparisons.
        words: whether its words were counted too.
    """
    trained = [used.card | {"name": used.name, "digest": used.digest} for used in run.adapters if used.card]
    paragraphs = [
        " ".join([_model(run), *map(_adapter, trained)]),
        " ".join([_tasks(run), _asked(run), *_judged(run)]),
        " ".join([*_statistics(rows), *([WORDS] if words else [])]),
    ]
    text = "\n\n".join(paragraphs)
    brought = {task: entry for task in run.task_names if (entry := _brought(task))}
    known = bibliography()
    entries = [known[key] for key in dict.fromkeys(re.findall(r"@(\w+)", " ".join(_citations(text))))]
    told = {task for task in run.task_names if task in brought or _task_reference(task) or _is_ours(run, task)}
    unknown = [task for task in run.task_names if task not in told]
    return Methods(text, to_latex(text), "\n".join([*entries, *brought.values()]), unknown)


def bibliography() -> dict[str, str]:
    """The references that methods may cite, by key."""
    text = REFERENCES.read_text(encoding="utf-8")
    return {found[1]: found[0] for found in re.finditer(r"^@\w+\{(\w+),.*?^\}", text, re.MULTILINE | re.DOTALL)}


WORDS = (
    "Words, pairs and triples of words in written answers, each counted once an answer, were compared by their "
    "log-odds with an informative Dirichlet prior [@monroe2008], with false discovery rates [@benjamini1995]."
)


def _code(name: object) -> str:
    """A name as it is written in a program; what would end it early is left out."""
    return f"`{re.sub(r'[`@]', '', named(str(name)))}`"


def _model(run: RunContents) -> str:
    base = run.record["base"]
    inputs = (cell.result.get("inputs", {}).get("base", {}) for cell in run.cells)
    upstream = next((found["upstream"] for found in inputs if found.get("upstream")), base["name"])
    model = _code(base["name"]) + (f" ({_code(upstream)})" if upstream != base["name"] else "")
    cited = " [@allal2025smollm2]" if "smollm2" in f"{upstream} {base['name']}".lower() else ""
    versions = _versions(run, ("lapd", "lm-eval", "transformers", "torch"))
    rest = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "lapd")
    arms = f"{len(run.arms)} arms" if len(run.arms) > 1 else "one arm"
    return (
        f"We compared {arms} of {model}{cited} (weights: SHA-256 {_code(base['digest'][:SHOWN])}) with LAPD "
        f"{versions.get('lapd', '')} ({rest}), which asks and scores through the Language Model "
        "Evaluation Harness and Transformers "
        "[@evalharness; @wolf2020transformers]."
    )


def _versions(run: RunContents, names: Iterable[str]) -> dict[str, str]:
    found = {n: dict.fromkeys(str(v) for c in run.cells if (v := c.result["provenance"].get(n))) for n in names}
    return {name: " and ".join(values) for name, values in found.items() if values}


def _adapter(card: Mapping[str, Any]) -> str:
    """How one adapter was trained."""
    settings, data = card["settings"], card["data"]
    name = f"{_code(card['name'])} (SHA-256 {_code(card['digest'][:SHOWN])})"
    what = f"a control ({card['control']} pairs) for {card['persona']}" if card.get("control") else str(card["persona"])
    if settings.get("steered"):
        return (
            f"{name}, {what}, adds the mean difference of activations between {data['pairs']} chosen and rejected "
            f"responses to the output of {_code(settings['steered'])} [@rimsky2023steering]."
        )
    if not settings.get("r"):
        return f"{name}, {what}, was not trained here."
    loss, key = LOSSES.get(settings.get("loss", "sigmoid"), LOSSES["sigmoid"])
    trainer = TRAINERS.get(settings.get("trainer", ""), "vonwerra2020trl")
    rpo = " with a likelihood term [@pang2024rpo]" if settings.get("rpo_alpha") else ""
    told = {"rank": "r", "alpha": "alpha", "beta": "beta", "peak learning rate": "lr", "epochs": "epochs"}
    told |= {"pairs a step": "batch_size", "seed": "seed", "precision": "precision"}
    numbers = ", ".join(f"{words} {settings[key]}" for words, key in told.items() if settings.get(key) is not None)
    heldout = data.get("heldout", {}).get("pairs")
    kept = f", {heldout} more held out" if heldout else ""
    return (
        f"{name}, {what}, is a LoRA adapter [@hu2022lora; @mangrulkar2022peft] trained by {loss} [@{key}]{rpo} on "
        f"{data['pairs']} preference pairs{kept} [@{trainer}] ({numbers})."
    )


def _tasks(run: RunContents) -> str:
    """Which tasks were asked, in which version and how many of their documents."""
    told = []
    for task in run.task_names:
        cells = [cell for cell in run.cells if cell.task == task]
        version = str(cells[0].result.get("task_version") or "").strip()
        counts = sorted({len(cell.samples) for cell in cells})
        items = len({sample["item"] for sample in cells[0].samples})
        documents = f"{' or '.join(map(str, counts))} documents"
        number = documents if counts == [items] else f"{documents} of {items} items"
        reference = _task_reference(task)
        cited = f" [@{reference}]" if reference else ""
        told.append(f"{_code(task)}{cited} ({f'version {version}, ' if version else ''}{number})")
    return f"Every arm was asked {_listed(told)}."


def _asked(run: RunContents) -> str:
    cells = [cell.result["cell"] for cell in run.cells]
    dtypes = sorted({str(cell["dtype"]) for cell in cells})
    seeds = sorted({cell.seed for cell in run.cells})
    precision = "a server scored" if dtypes == [SERVED_DTYPE] else f"Scores were computed in {_listed(dtypes)}"
    seed = f"with seed{'s' if len(seeds) > 1 else ''} {_listed(map(str, seeds))}"
    drawn = next((cell["sampling"] for cell in cells if cell.get("sampling")), None)
    how = (
        f"{drawn['samples']} answers to each document were drawn at temperature {drawn['temperature']:g}"
        if drawn
        else "written answers are the likeliest token by token, unless a task says otherwise"
    )
    return f"{precision[0].upper()}{precision[1:]}, {seed}; {how}."


def _judged(run: RunContents) -> list[str]:
    judges = {cell.task: cell.judge["name"] for cell in run.cells if cell.judge}
    graders = {label for cell in run.cells for label in cell.graders}
    said = [f"Answers to {_code(task)} were judged by {_code(name)}." for task, name in judges.items()]
    return said + ([f"Answers were graded by {_listed(map(_code, sorted(graders)))}."] if graders else [])


def _statistics(rows: Sequence[Comparison]) -> list[str]:
    names = {row.test.partition(",")[0] if row.test not in TESTS else row.test for row in rows}
    tests = [words for name, words in TESTS.items() if name in names]
    confirmatory = sum(row.family == CONFIRMATORY for row in rows)
    said = [
        "Arms were compared item by item, with the documents, seeds and answers of an item averaged first: "
        f"{_listed(tests)}; intervals cover 95 %."
    ]
    if confirmatory:
        said.append(
            f"The primary metrics of the tasks are confirmatory ({_counted(confirmatory)}), corrected by Holm's "
            "method [@holm1979]."
        )
    if rest := len(rows) - confirmatory:
        found = f"({_counted(rest)}), with false discovery rates [@benjamini1995]"
        said.append(f"What else was measured is exploratory {found}.")
    if any(row.margin for row in rows):
        said.append(
            "No change beyond a margin is claimed where two one-sided tests at 5 % put the difference within it "
            "[@schuirmann1987]; where neither can be told, nothing is claimed."
        )
    return said


def _counted(n: int) -> str:
    return f"{n} comparison{'' if n == 1 else 's'}"


def _listed(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _task_reference(task: str) -> str | None:
    if "_mini" in task:
        return None
    return next((key for start, key in TASKS.items() if task.startswith(start)), None)


def _is_ours(run: RunContents, task: str) -> bool:
    """Whether a task's data are LAPD's or a trait pack's: its version names them."""
    info = run.infos.get(task)
    return bool(info and (info.data or info.traits or info.pairs))


def _brought(task: str) -> str | None:
    """The reference that one of lm-eval's own tasks brings in its README, as it stands there."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None or not re.fullmatch(r"\w+", task):
        return None
    readme = Path(spec.origin).parent / "tasks" / task / "README.md"
    if not readme.is_file():
        return None
    entries = re.findall(r"^@\w+\{[^`]*?^\}", readme.read_text(encoding="utf-8"), re.MULTILINE)
    return "\n".join(entries) or None


def _citations(text: str) -> list[str]:
    return re.findall(r"\[@[^\]]*\]", text)


def to_latex(text: str) -> str:
    """Paragraphs of plain text, `names` and [@citations] as LaTeX."""
    parts = re.split(r"(\[@[^\]]*\]|`[^`]*`)", text)
    return "".join(map(_latex_part, parts))


def _latex_part(part: str) -> str:
    if part.startswith("[@"):
        return "\\citep{" + ",".join(re.findall(r"@(\w+)", part)) + "}"
    if part.startswith("`"):
        return f"\\texttt{{{_escaped(part[1:-1])}}}"
    return _escaped(part)


SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^<>&%$#_{}]", lambda found: SPECIAL.get(found[0], f"\\{found[0]}"), text)
