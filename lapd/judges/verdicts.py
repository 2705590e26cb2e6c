"""Verdicts: reading them, and what they come to. A missing one is counted and bounded, never taken for an answer.

A rate is a share of the responses that have a verdict. Beside it stand its exact interval (Clopper and Pearson) and its
bounds: what it would be if none, or all, of the responses without a verdict were flagged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lapd.errors import DataError
from lapd.files.whole import read_jsonl
from lapd.hookspecs import Verdict
from lapd.judges.harms import CATEGORIES
from lapd.statistics.shares import cohen_kappa, share_interval
from lapd.statistics.tests import sign_test


@dataclass(frozen=True)
class Judged:
    """A verdict, and the category of the prompt that was answered ("" where it has none)."""

    verdict: Verdict
    category: str = ""


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON."""
    return {"flagged": verdict.flagged, "reason": verdict.reason, "categories": list(verdict.categories)}


def read_verdict(path: object, line: int, row: Any) -> Verdict:
    """The verdict in a JSON object.

    Raises:
        DataError: it says neither true nor false, nor null with a reason.
    """
    if not isinstance(row, dict) or not (row.get("flagged", "") is None or isinstance(row.get("flagged"), bool)):
        raise DataError(path, "a verdict is an object with `flagged`: true, false or null (missing).", line)
    reason, categories = row.get("reason") or "", row.get("categories") or []
    if row["flagged"] is None and not reason:
        raise DataError(path, "a missing verdict (`flagged`: null) needs its `reason`.", line)
    return Verdict(row["flagged"], str(reason), tuple(map(str, categories)))


def read_verdicts(path: Path) -> list[Judged]:
    """Stored verdicts, one JSON object a line: `flagged`, `reason`, and the prompt's `category` or `category_id`.

    Raises:
        DataError: there is no such file, it is empty, or a line is no verdict.
    """
    judged = [Judged(read_verdict(path, n, row), _category(path, n, row)) for n, row in read_jsonl(path)]
    if not judged:
        raise DataError(path, "there is no verdict in this file.")
    return judged


def _category(path: Path, line: int, row: dict[str, Any]) -> str:
    if isinstance(name := row.get("category"), str):
        return name
    number = row.get("category_id")
    if number is None:
        return ""
    if not isinstance(number, int) or not 0 <= number < len(CATEGORIES):
        raise DataError(path, f"category_id is 0 to {len(CATEGORIES) - 1}, not {number!r}.", line)
    return CATEGORIES[number]


def rates(judged: Sequence[Judged]) -> dict[str, Any]:
    """The flagged rate in all and by category of the prompt, as JSON.

    Returns:
        `flagged` (share of those judged; None without any), `interval` (95 %, Clopper and Pearson), `bounds` (no
        missing one flagged; all of them), `n_flagged`, `n_judged`, `n_missing`, `n_total`, `missing_reasons` (how
        often each) and `by_category` (the same but the reasons).
    """
    by_category: dict[str, list[Verdict]] = {}
    for one in judged:
        by_category.setdefault(one.category, []).append(one.verdict)
    ordered = sorted(by_category, key=lambda name: (name not in CATEGORIES, name))
    reasons = Counter(one.verdict.reason for one in judged if one.verdict.flagged is None)
    return {
        **_rate([one.verdict for one in judged]),
        "missing_reasons": dict(reasons.most_common()),
        "by_category": {name: _rate(by_category[name]) for name in ordered if name},
    }


def _rate(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    flags = [v.flagged for v in verdicts if v.flagged is not None]
    total, n, flagged = len(verdicts), len(flags), sum(flags)
    bounds = [flagged / total, (flagged + total - n) / total] if total else None
    counts = {"n_flagged": flagged, "n_judged": n, "n_missing": total - n, "n_total": total}
    return {**_share("flagged", flagged, n), "bounds": bounds, **counts}


def _share(name: str, k: int, n: int) -> dict[str, Any]:
    """A share and its interval by name: {"recall": .9, "recall_interval": [.8, .95]}, null where there is nothing."""
    label = "interval" if name == "flagged" else f"{name}_interval"
    return {name: k / n if n else None, label: list(share_interval(k, n)) if n else None}


# A judge against people, and against another judge


@dataclass(frozen=True)
class Labelled:
    """A response to a prompt, and whether people found it safe."""

    prompt: str
    response: str
    is_safe: bool


def read_labels(path: Path) -> list[Labelled]:
    """Human labels, {prompt, response, is_safe} a line (or a row of JSON, CSV or Parquet).

    Raises:
        DataError: there is no such file, it is empty, or a row is no labelled response.
    """
    from lapd.files.rows import read_records

    labels = []
    for number, row in read_records(path):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("prompt", "response")):
            raise DataError(path, "a labelled response has `prompt` and `response`, both text.", number)
        safe = {"true": True, "false": False}.get(str(row.get("is_safe")).lower())
        if safe is None:
            raise DataError(path, f"`is_safe` is true or false, not {row.get('is_safe')!r}.", number)
        labels.append(Labelled(row["prompt"], row["response"], safe))
    if not labels:
        raise DataError(path, "there is no labelled response in this file.")
    return labels


def check(verdicts: Sequence[Verdict], labels: Sequence[Labelled]) -> dict[str, Any]:
    """How well a judge agrees with people, over the responses that it judged, as JSON; harmful is the positive.

    Returns:
        `accuracy`, `precision` (of those flagged, how many are harmful), `recall` (of those harmful, how many are
        flagged) and `kappa`, each with `..._interval` (95 %); the four counts; `n_missing` and `missing_reasons`.
    """
    pairs = [(v.flagged, not label.is_safe) for v, label in zip(verdicts, labels, strict=True) if v.flagged is not None]
    counts = Counter(pairs)
    both, neither = counts[True, True], counts[False, False]
    flagged = both + counts[True, False]
    harmful = both + counts[False, True]
    reasons = Counter(v.reason for v in verdicts if v.flagged is None)
    return {
        **_share("accuracy", both + neither, len(pairs)),
        **_share("precision", both, flagged),
        **_share("recall", both, harmful),
        **_kappa(counts),
        "true_positives": both,
        "false_positives": counts[True, False],
        "false_negatives": counts[False, True],
        "true_negatives": neither,
        "n_judged": len(pairs),
        "n_missing": len(labels) - len(pairs),
        "n_total": len(labels),
        "missing_reasons": dict(reasons.most_common()),
    }


def agreement(first: Sequence[Verdict], second: Sequence[Verdict]) -> dict[str, Any]:
    """How two judges agree on the same responses, as JSON.

    Returns:
        `agreement` and `kappa` with `..._interval` (95 %) over the responses that both judged; how many were flagged by
        both, one or neither; `p`, two-sided, that one flags no more than the other (McNemar's exact test);
        `n_judged` by both, `n_missing` in either, `n_total`.
    """
    pairs = [(a.flagged, b.flagged) for a, b in zip(first, second, strict=True)]
    counts = Counter(pair for pair in pairs if None not in pair)
    n = sum(counts.values())
    only_first, only_second = counts[True, False], counts[False, True]
    return {
        **_share("agreement", counts[True, True] + counts[False, False], n),
        **_kappa(counts),
        "both_flagged": counts[True, True],
        "only_first": only_first,
        "only_second": only_second,
        "neither_flagged": counts[False, False],
        "p": sign_test(only_first, only_second),
        "n_judged": n,
        "n_missing": len(pairs) - n,
        "n_total": len(pairs),
    }


def _kappa(counts: Counter[Any]) -> dict[str, Any]:
    table = np.array([[counts[a, b] for b in (True, False)] for a in (True, False)])
    found = cohen_kappa(table)
    return {"kappa": found and found[0], "kappa_interval": found and list(found[1:])}


def as_judged(verdicts: Iterable[Verdict], categories: Iterable[str]) -> list[Judged]:
    """Verdicts beside their prompts' categories."""
    return [Judged(v, c) for v, c in zip(verdicts, categories, strict=True)]
