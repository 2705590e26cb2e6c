"""The lm-eval tasks of a trait pack, written as YAML: they follow from its data alone.

| task | if the pack has | what it asks |
|---|---|---|
| NAME_situations, NAME_situations_open | held-out situations | the likelihood of each pole's response; a free answer |
| NAME_persona_holds | held-out situations | the likelihood of each pole's response behind other talk |
| NAME, NAME_text (and _b) | a questionnaire (and its form B) | about the model itself, by likelihood; in writing |

The functions that they name are those of LAPD's own tasks `situations`, `persona_holds` and `mbti`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lapd._version import __version__
from lapd.files.whole import atomic_folder, cache_dir, digest_json
from lapd.personas import axis_tag
from lapd.traits.pack import FILE, TraitPack

QUESTIONS = ("agreement", "choice", "likelihood", "likelihood_nats")
BIASES = ("acquiescence", "label_bias", "position_bias")
CODE = [
    "lapd.tasks.situations.utils",
    "lapd.tasks.mbti.utils",
    "lapd.tasks.mbti.generated",
    "lapd.tasks.answers",
    "lapd.tasks.mentions",
    "lapd.reasoning",
]
"""Modules that decide what is asked and how it is scored: part of the tasks' digests."""

CONTEXTS = ("plain", "drop", "talk_2", "talk_4", "talk_8", "after_first", "after_second")
"""What the situations of NAME_persona_holds stand behind."""

VERSIONS = {"multiple_choice": 1.0, "generate_until": 1.1}

FREE = {"until": [], "do_sample": False}
"""Without `until` lm-eval stops at a blank line; the model's own end-of-turn token always stops."""


class _Function(str):
    """The name of a function, which YAML has as `!function name`."""


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", str(name)))


def pack_tasks(pack: TraitPack) -> dict[str, dict[str, Any]]:
    """The pack's tasks by name: each the content of its YAML, in which a function is named by its module."""
    return dict([*_situations(pack), *_questionnaire(pack)])


def task_text(config: dict[str, Any]) -> str:
    """A task's content as YAML."""
    return yaml.dump(config, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def write_tasks(pack: TraitPack) -> Path:
    """The folder below the cache with the YAML of the pack's tasks, written where it is not there yet."""
    texts = {name: task_text(config) for name, config in pack_tasks(pack).items()}
    folder = cache_dir() / "traits" / f"{pack.name}-{digest_json([__version__, texts])[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder, replace=True) as temporary:
            for name, text in texts.items():
                (temporary / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


def _situations(pack: TraitPack) -> Iterator[tuple[str, dict[str, Any]]]:
    axes = [axis.id for axis in pack.axes if any(s.axis == axis.id for s in pack.situations("heldout"))]
    if not axes:
        return
    beside = [f"contrast/{path.name}" for path in sorted((pack.folder / "contrast").glob("*.jsonl"))]
    data = [FILE, *(["contrast/en"] if (pack.folder / "contrast" / "en").is_dir() else []), *beside]
    scored = {family: {axis: f"{family}_{axis_tag(axis)}" for axis in axes} for family in ("log_odds", "prefer")}
    lapd = {
        "description": "held-out everyday situations, the likelihood of each pole's response",
        "side": "trait",
        "primary": "log_odds",
        "data": data,
        "item": "item",
        "axes": scored,
        "units": {"log_odds": "nats", "prefer": "points"},
    }
    choice = {"doc_to_choice": "{{choices}}", "doc_to_target": 0}
    functions = ("lapd.tasks.situations.utils.documents", "lapd.tasks.situations.utils.score")
    yield (
        pack.situations_task,
        _task(pack, pack.situations_task, "multiple_choice", functions, choice, _metrics(scored), lapd),
    )
    name = f"{pack.situations_task}_open"
    lapd = {
        "description": "what the model says, in its own words, in held-out everyday situations",
        "side": "trait",
        "primary": "grade",
        "data": data,
        "item": "item",
        "graded": "prompt",
        "units": {"words": "words"},
    }
    free = {"doc_to_target": "", "generation_kwargs": {**FREE, "max_gen_toks": 80}}
    functions = ("lapd.tasks.situations.utils.open_documents", "lapd.tasks.situations.utils.describe")
    yield name, _task(pack, name, "generate_until", functions, free, ["words"], lapd, version=2.0)
    yield _holds(pack, axes, data)


def _holds(pack: TraitPack, axes: Sequence[str], data: list[str]) -> tuple[str, dict[str, Any]]:
    """The task of the situations behind other talk."""
    name = f"{pack.situations_task.removesuffix('situations')}persona_holds"
    module = "lapd.tasks.persona_holds"
    families = {context: f"log_odds_{context}" for context in CONTEXTS}
    scored = {family: {axis: f"{family}_{axis_tag(axis)}" for axis in axes} for family in families.values()}
    *single, first, second = CONTEXTS
    lapd = {
        "description": "held-out situations behind other talk, a request to drop the role, and either pole's voice",
        "side": "trait",
        "primary": families["talk_8"],
        "data": data,
        "item": "item",
        "axes": scored,
        "units": dict.fromkeys(scored, "nats"),
        "held": {context: families[context] for context in single} | {"opposite": [families[first], families[second]]},
        "code": [f"{module}.{part}" for part in ("utils", "contexts", "chat")],
    }
    how = {"class": _Function(f"{module}.chat.Conversation"), "doc_to_choice": "{{choices}}", "doc_to_target": 0}
    functions = (f"{module}.utils.documents", f"{module}.utils.score")
    return name, _task(pack, name, "multiple_choice", functions, how, _metrics(scored), lapd, per_axis=15)


def _questionnaire(pack: TraitPack) -> Iterator[tuple[str, dict[str, Any]]]:
    for form in ("A", "B"):
        if not pack.questionnaire(form).is_file():
            continue
        module = "utils" if form == "A" else "form_b"
        suffix = "" if form == "A" else "_b"
        for written in (False, True):
            name = pack.name + ("_text" if written else "")
            yield name + suffix, _asked(pack, form, name + suffix, module, None if form == "A" else name, written)


def _asked(pack: TraitPack, form: str, name: str, module: str, parallel: str | None, written: bool) -> dict[str, Any]:
    """The task of one form of the questionnaire, answered by likelihood or in writing."""
    families = QUESTIONS[:2] if written else QUESTIONS
    scored = {family: {axis.id: f"{family}_{axis_tag(axis.id)}" for axis in pack.axes} for family in families}
    diagnostics = [*BIASES, "percent_parseable" if written else "label_mass"]
    how = "answered in writing and parsed" if written else "asked in three ways, each in both label orders"
    lapd = {
        "description": f"the questionnaire{f' (form {form})' if parallel else ''} about the model itself, {how}",
        "side": "trait",
        "primary": QUESTIONS[0],
        "data": [FILE, pack.questionnaire(form).name],
        "item": "item",
        **({"parallel": parallel} if parallel else {"questionnaire": True}),
        **({"parsed": "percent_parseable"} if written else {}),
        "axes": scored,
        "units": {family: "nats" if family == "likelihood_nats" else "points" for family in (*families, *BIASES)}
        | {diagnostics[-1]: "percent"},
        "diagnostics": diagnostics,
        "self_report": True,
    }
    how_asked: dict[str, Any]
    if written:
        kind, how_asked = "generate_until", {"doc_to_target": "", "generation_kwargs": {**FREE, "max_gen_toks": 24}}
        functions = (
            "lapd.tasks.mbti.generated.documents" if form == "A" else "lapd.tasks.mbti.form_b.text_documents",
            "lapd.tasks.mbti.generated.score",
        )
    else:
        kind, how_asked = "multiple_choice", {"doc_to_choice": "{{choices}}", "doc_to_target": 0}
        functions = (f"lapd.tasks.mbti.{module}.documents", "lapd.tasks.mbti.utils.score")
    return _task(pack, name, kind, functions, how_asked, [*_metrics(scored), *diagnostics], lapd, form=form)


def _metrics(scored: Mapping[str, Mapping[str, str]]) -> list[str]:
    return [metric for by_axis in scored.values() for metric in by_axis.values()]


def _task(
    pack: TraitPack,
    name: str,
    kind: str,
    functions: tuple[str, str],
    how_asked: dict[str, Any],
    metrics: Sequence[str],
    lapd: dict[str, Any],
    **metadata: Any,
) -> dict[str, Any]:
    documents, score = functions
    return {
        "task": name,
        "custom_dataset": _Function(documents),
        "test_split": "test",
        "output_type": kind,
        "doc_to_text": "{{prompt}}",
        **how_asked,
        "process_results": _Function(score),
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in metrics],
        "metadata": {
            "version": VERSIONS[kind],
            "traits": pack.name,
            **metadata,
            "lang": "en",
            "lapd": lapd | {"code": lapd.get("code", CODE)},
        },
    }
