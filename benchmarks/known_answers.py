"""Are the tasks' scores the published ones? Prints what is known beside what LAPD computes, and fails if it differs.

    python benchmarks/known_answers.py --data-dir ../shared/benchmarks             some five minutes on 2 cores
    python benchmarks/known_answers.py --data-dir ../shared/benchmarks --json
    python benchmarks/known_answers.py --only eqbench,beavertails,mbti             without a model, in seconds

The data folder is what `--data-dir` is everywhere (docs/tasks.md), with `eqbench/official_runs/*.json` (published runs
of EQ-Bench) and `beavertails/flags_llama3_8b_seed42.jsonl` (published flags) beside the benchmarks' own files. The exit
code is 1 if a known answer is missed. The tests call the same functions.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from lapd.data import mbti as mbti_pack

from lapd.errors import LapdError
from lapd.files.whole import read_json, read_jsonl
from lapd.judges.harms import CATEGORIES
from lapd.judges.verdicts import rates, read_verdicts
from lapd.questionnaires.psychometrics import Estimate, estimate


@dataclass(frozen=True)
class Answer:
    """A known answer and LAPD's.

    Attributes:
        source: what is known of, such as a published run.
        what: the figure.
        known: its value as published, or as it must be.
        ours: what LAPD computes.
        tolerance: how far the two may lie apart.
        note: why, where `known` is not simply what was published.
    """

    source: str
    what: str
    known: float
    ours: float
    tolerance: float = 0.0
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether LAPD's figure is the known one."""
        return abs(self.ours - self.known) <= self.tolerance


# EQ-Bench: eight published runs

SCORE_TOLERANCE = 0.03
REVISING = ("Intel__neural-chat-7b-v3-1", "NousResearch__Llama-2-7b-chat-hf")
"""The published runs that were asked for revised scores (version 2.0)."""

TEXT_EXCEPTIONS = {
    "Qwen__Qwen-7B-Chat": (49.81, 170, "three of its answers are to version 2.0's prompt, whose first pass counted"),
    "allenai__tulu-2-dpo-70b": (76.08, 127, "44 texts add a fifth pair, which the stored answers do not have"),
}
"""Runs whose text does not give the published figures: score, parseable answers, and why."""


@dataclass(frozen=True)
class PublishedRun:
    """A run as EQ-Bench published it: its figures, each question's parsed answers, and the model's text."""

    name: str
    score: float
    parseable: int
    answers: dict[str, dict[str, dict[str, str]]]
    texts: dict[str, str]

    @property
    def revises(self) -> bool:
        """Whether it has two passes."""
        return self.name in REVISING


def published_runs(data_dir: Path) -> list[PublishedRun]:
    """The published runs in the data folder."""
    runs = []
    for path in sorted((data_dir / "eqbench" / "official_runs").glob("*.json")):
        found = read_json(path)
        stored = found["raw_results"]["1"]
        name = path.name.partition("_eqbench_v2")[0]
        figures = (found["benchmark_score"], found["n_questions_parseable"])
        runs.append(PublishedRun(name, *figures, stored["respondent_answers"], stored["raw_inference"]))
    return runs


@cache
def eqbench_documents(data_dir: Path) -> dict[str, dict[str, Any]]:
    """The questions by their id."""
    from lapd.tasks.eqbench.utils import read_questions

    return {doc["id"]: doc for doc in read_questions(data_dir / "eqbench")}


def from_stored_answers(run: PublishedRun, documents: dict[str, dict[str, Any]]) -> tuple[float, int]:
    """A run's score and number of parseable answers, by the rule, from the parsed answers that it published."""
    from lapd.tasks.eqbench import scoring, utils

    passes = []
    for name in ("first_pass", "revised"):
        answers = {key: {n: float(x) for n, x in a[name].items()} for key, a in run.answers.items()}
        scores = [scoring.item_score(utils._reference(documents[key]), answer) for key, answer in answers.items()]
        passes.append(scoring.sum_up(scores))
    final = scoring.choose(*passes)
    return final.score, final.parseable


def from_text(run: PublishedRun, documents: dict[str, dict[str, Any]], later: bool = False) -> tuple[float, int]:
    """The same from the model's text, by the earlier rule or the later: what `lapd score` and an evaluation do."""
    from lapd.tasks.eqbench import utils

    suffix = "_later" if later else ""
    texts = {key: run.texts.get(key, "") for key in documents}
    if run.revises:
        made = [utils.score_passes(documents[key], [text])[f"final{suffix}"] for key, text in texts.items()]
        return utils.final(made), round(utils.final_parseable(made) * len(made) / 100)
    scored = [utils.score(documents[key], [text]).get(f"eqbench{suffix}") for key, text in texts.items()]
    scores = [score for score in scored if score is not None]
    return mean(scores), len(scores)


def differences_from_lm_eval(run: PublishedRun, data_dir: Path) -> int:
    """Answers whose item score is not lm-eval's own `eq_bench` score; 0 there and missing here counts as the same."""
    from lapd.tasks.eqbench import utils
    from lm_eval.tasks.eq_bench.utils import calculate_score_fullscale

    questions = read_json(data_dir / "eqbench" / utils.QUESTIONS)
    documents = eqbench_documents(data_dir)
    differ = 0
    for key, text in run.texts.items():
        reference = {"reference_answer_fullscale": str(questions[key]["reference_answer_fullscale"])}
        with contextlib.redirect_stdout(io.StringIO()):
            theirs = calculate_score_fullscale(reference, [text])
        ours = utils.score(documents[key], [text])
        same = theirs["percent_parseable"] == ours["percent_parseable"]
        differ += not (same and abs(theirs["eqbench"] - ours.get("eqbench", 0.0)) < 1e-9)
    return differ


def eqbench(data_dir: Path) -> Iterator[Answer]:
    """Every published run: from its parsed answers, from its text by both rules, and by lm-eval's own, item by item."""
    documents = eqbench_documents(data_dir)
    fits = {"earlier": 0, "later": 0}
    runs = published_runs(data_dir)
    if not runs:
        raise LapdError(f"{data_dir / 'eqbench' / 'official_runs'} holds no published run.")
    for run in runs:
        score, parseable = from_stored_answers(run, documents)
        yield Answer(run.name, "score", run.score, score, SCORE_TOLERANCE)
        yield Answer(run.name, "parseable", run.parseable, parseable)
        known, count, why = TEXT_EXCEPTIONS.get(run.name, (run.score, run.parseable, ""))
        note = f"published: {run.score}, {run.parseable}; {why}" if why else ""
        for rule in fits:
            score, parseable = from_text(run, documents, later=rule == "later")
            yield Answer(run.name, f"score, from its text, {rule} rule", known, score, SCORE_TOLERANCE, note)
            yield Answer(run.name, f"parseable, from its text, {rule} rule", count, parseable, 0, note)
            fits[rule] += abs(score - run.score) <= SCORE_TOLERANCE and parseable == run.parseable
        yield Answer(run.name, "items that lm-eval's rule scores otherwise", 0, differences_from_lm_eval(run, data_dir))
    expected = sum(run.name not in TEXT_EXCEPTIONS for run in runs)
    for rule, count in fits.items():
        yield Answer(f"{len(runs)} published runs", f"that fit, from their text, {rule} rule", expected, count)


# BeaverTails: the published flags of one model's answers

PUBLISHED_RATE = 0.328571


def beavertails(data_dir: Path) -> Iterator[Answer]:
    """The rate over all, and by category against a plain count."""
    path = data_dir / "beavertails" / "flags_llama3_8b_seed42.jsonl"
    found = rates(read_verdicts(path))
    rows = [row for _, row in read_jsonl(path)]
    yield Answer("Llama-3-8B, seed 42", "flagged, of all", PUBLISHED_RATE, found["flagged"], 5e-7)
    for number, name in enumerate(CATEGORIES):
        flags = [row["flagged"] for row in rows if row["category_id"] == number]
        known = sum(flags) / len(flags)
        yield Answer("Llama-3-8B, seed 42", f"flagged, {name}", known, found["by_category"][name]["flagged"], 1e-12)


# SocialIQA: lm-eval's own task on the same items


@dataclass(frozen=True)
class Agreement:
    """lm-eval's `social_iqa` and LAPD's `socialiqa` on the same items.

    Attributes:
        items: how many.
        same_requests: items on which both ask the same, word for word.
        same_predictions: items with the same answer.
        furthest: the largest difference of a log-likelihood, in nats.
        ours: LAPD's accuracy.
        theirs: lm-eval's.
    """

    items: int
    same_requests: int
    same_predictions: int
    furthest: float
    ours: float
    theirs: float


def lm_evals_own_task(rows: list[dict[str, Any]]) -> Any:
    """lm-eval's `social_iqa` from its own YAML, with local rows in the place of the hub's."""
    import lm_eval
    import yaml
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    (path,) = (Path(lm_eval.__file__).parent / "tasks" / "siqa").glob("*.yaml")
    config = yaml.safe_load(path.read_text())
    assert (config["task"], config["dataset_path"]) == ("social_iqa", "lighteval/siqa")
    for key in ("dataset_path", "dataset_name", "training_split"):
        config.pop(key, None)
    config["custom_dataset"] = lambda **_: {"validation": Dataset.from_list(rows)}
    return ConfigurableTask(config=config)


def socialiqa_agreement(data_dir: Path, items: int, chat: bool, base: str = "smollm2") -> Agreement:
    """The first items of the real dev set through both tasks, on one live model in float32.

    lm-eval's side is its own all through: its task from its YAML, scored by its `hf` model, one sequence a choice.
    """
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM
    from lapd.catalog.find import find_task
    from lapd.catalog.live import load_task, no_bars_of_its_own
    from lapd.files.quiet import quiet_libraries
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    ours = load_task(find_task("socialiqa"), str(data_dir))
    rows = [dict(doc) for doc in list(ours.eval_docs)[:items]]
    model, tokenizer = load_base(resolve_base(base))
    with quiet_libraries(), no_bars_of_its_own():
        sides = [
            ("socialiqa", ours, PackedLM(model, tokenizer=tokenizer, batch_size=32)),
            ("social_iqa", lm_evals_own_task(rows), HFLM(pretrained=model, tokenizer=tokenizer, batch_size=32)),
        ]
        outcomes = [
            evaluate(lm=lm, task_dict={"tasks": {n: task}}, limit=items, apply_chat_template=chat, bootstrap_iters=0)
            for n, task, lm in sides
        ]
    names = [name for name, _, _ in sides]
    pairs = list(zip(*(o["samples"][n] for o, n in zip(outcomes, names, strict=True)), strict=True))
    scores = np.array([[[float(r[0]) for r in s["filtered_resps"]] for s in pair] for pair in pairs])
    accuracies = [o["results"][n]["acc,none"] for o, n in zip(outcomes, names, strict=True)]
    chosen = scores.argmax(-1)
    return Agreement(
        items=len(pairs),
        same_requests=sum(a["arguments"] == b["arguments"] and a["target"] == b["target"] for a, b in pairs),
        same_predictions=int((chosen[:, 0] == chosen[:, 1]).sum()),
        furthest=float(abs(scores[:, 0] - scores[:, 1]).max()),
        ours=accuracies[0],
        theirs=accuracies[1],
    )


def socialiqa(data_dir: Path, items: int = 200) -> Iterator[Answer]:
    """lm-eval's own `social_iqa` and LAPD's `socialiqa`, plain and with the chat template."""
    for chat in (False, True):
        found = socialiqa_agreement(data_dir, items, chat)
        source = f"lm-eval's social_iqa, {'chat template' if chat else 'plain'}, {found.items} items"
        yield Answer(source, "items that both ask alike", found.items, found.same_requests)
        yield Answer(source, "items that both answer alike", found.items, found.same_predictions)
        yield Answer(source, "furthest log-likelihoods, nats", 0, found.furthest, 1e-3)
        yield Answer(source, "accuracy", found.theirs, found.ours, 1e-9)


# MBTI: answers that do not depend on the question, and simulated respondents

RESPONDENTS, ITEMS = 1000, 16


def constant_answers(form: str, number: str, letter: str) -> dict[str, float]:
    """Each axis's score, by way of asking, of whoever gives the same number and the same letter to every question."""
    from lapd.tasks.mbti import generated

    values: dict[str, list[float]] = {}
    for doc in generated.documents(form=form)["test"]:
        answer = number if doc["way"] == "agreement" else letter
        for metric, value in generated.score(doc, [answer]).items():
            values.setdefault(metric, []).append(value)
    ways = [f"{way}_{axis.replace('/', '')}" for way in ("agreement", "choice") for axis in mbti_pack().ends]
    return {metric: mean(values[metric]) for metric in ways}


def simulate(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers from 1 to 7 of respondents with a known trait on each axis and a known acquiescence.

    Returns:
        Traits [respondents, axes] and acquiescence [respondents] in points, answers
        [respondents, axes, items, poles, scale directions].
    """
    trait = rng.uniform(30, 70, (RESPONDENTS, 4, 1, 1, 1))
    yes = rng.uniform(-10, 10, (RESPONDENTS, 1, 1, 1, 1))
    towards = np.array([1, -1])[:, None]
    item = rng.normal(0, 8, (RESPONDENTS, 4, ITEMS, 1, 1))
    agreement = 50 + towards * (trait + item - 50) + yes
    level = np.concatenate([agreement, 100 - agreement], axis=-1)
    answers = np.clip(np.round((level + rng.normal(0, 12, level.shape)) * 6 / 100), 0, 6) + 1
    return trait.reshape(RESPONDENTS, 4), yes.reshape(RESPONDENTS) + 50, answers.astype(int)


def keyed(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each item's score and its mean agreement, in points: what `tasks/mbti` computes, for many respondents at once."""
    level = (answers - 1) * 100 / 6
    agreement = np.stack([level[..., 0], 100 - level[..., 1]], axis=-1)
    towards = np.stack([agreement[..., 0, :], 100 - agreement[..., 1, :]], axis=-2)
    return towards.mean((-1, -2)), agreement.mean((-1, -2))


def coverage(found: Estimate, truth: np.ndarray) -> np.ndarray:
    """The share of respondents whose interval holds the truth."""
    inside: np.ndarray = np.mean((found.low <= truth) & (truth <= found.high), axis=0)
    return inside


def mbti(data_dir: Path) -> Iterator[Answer]:
    """Constant answers are at 50 on every axis; simulated traits and acquiescence lie in their intervals."""
    for form in "AB":
        for number, letter in (("1", "A"), ("4", "B"), ("7", "A")):
            scores = constant_answers(form, number, letter)
            furthest = max(scores.values(), key=lambda score: abs(score - 50))
            source = f"form {form}, always {number} and {letter}"
            yield Answer(source, f"furthest of {len(scores)} axis scores", 50, furthest, 1e-9)
    trait, yes, answers = simulate(np.random.default_rng(2026))
    scores_by_item, agreement = keyed(answers)
    found = estimate(scores_by_item)
    source = f"{RESPONDENTS} simulated respondents"
    for axis, covered in zip(mbti_pack().ends, coverage(found, trait), strict=True):
        yield Answer(source, f"95 % intervals that hold the trait, {axis}", 0.95, float(covered), 0.03)
    covered = coverage(estimate(agreement.reshape(RESPONDENTS, -1)), yes)
    yield Answer(source, "95 % intervals that hold the acquiescence", 0.95, float(covered), 0.03)
    yield Answer(source, "mean error of a trait, points", 0, float((found.mean - trait).mean()), 0.2)


PARTS: dict[str, Callable[[Path], Iterator[Answer]]] = {
    "eqbench": eqbench,
    "beavertails": beavertails,
    "mbti": mbti,
    "socialiqa": socialiqa,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LAPD_DATA_DIR"), help="benchmark data")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    parts = options.only.split(",")
    if options.data_dir is None or not set(parts) <= set(PARTS):
        parser.error("give --data-dir, and --only some of " + ",".join(PARTS))
    try:
        found = [(part, answer) for part in parts for answer in PARTS[part](options.data_dir)]
    except (LapdError, OSError) as error:
        sys.exit(f"Error: {error}")
    if options.json:
        rows = [{"task": part, **asdict(a), "difference": a.ours - a.known, "met": a.met} for part, a in found]
        print(json.dumps({"met": all(a.met for _, a in found), "answers": rows}, indent=1, ensure_ascii=False))
    else:
        print("| task | of | figure | known | LAPD | difference | |\n|---|---|---|---|---|---|---|")
        for part, a in found:
            verdict = ("met" if a.met else "**MISSED**") + (f" ({a.note})" if a.note else "")
            numbers = f"{a.known:.6g} | {a.ours:.6g} | {a.ours - a.known:+.2g}"
            print(f"| {part} | {a.source} | {a.what} | {numbers} | {verdict} |")
        print(f"\n{sum(a.met for _, a in found)} of {len(found)} known answers met.")
    sys.exit(not all(a.met for _, a in found))


if __name__ == "__main__":
    main()
