"""Methods, ready to paste: they say what the cells say, and each citation has its entry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from test_report import Run, axis_samples, sample

from lapd.compare.comparisons import compare_run
from lapd.report.contents import read_run
from lapd.report.methods import Methods, bibliography, methods, to_latex


def methods_of(folder: Path) -> Methods:
    return methods(read_run(folder), compare_run(folder))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "run")
    for n, arm in enumerate(("base", "INFP")):
        made.add(arm, "situations", axis_samples({"log_odds": 0.0}, 5.0 * n, n), task_version="1.0")
        made.add(arm, "socialiqa", [sample(f"q{k}", {"acc": float(k % 2)}) for k in range(12)])
    return made


def test_methods_say_what_was_asked_of_what_with_what(run: Run) -> None:
    text = methods_of(run.write()).markdown
    assert "We compared 2 arms of `smollm2` [@allal2025smollm2] (weights: SHA-256 `bbbbbbbbbbbb`)" in text
    assert "`situations` (version 1.0, 48 documents) and `socialiqa` [@sap2019socialiqa] (12 documents)" in text
    assert "Scores were computed in float32, with seed 0" in text
    assert re.search(r"`INFP` \(SHA-256 `\w{12}`\), INFP, is a LoRA adapter .* on 160 preference pairs", text)
    assert "beta 0.1, peak learning rate 0.0002" in text
    assert "by McNemar's exact test" in text and "Holm's method [@holm1979]" in text


def test_every_citation_has_one_entry_and_no_other_is_given(run: Run) -> None:
    made = methods_of(run.write())
    cited = set(re.findall(r"@(\w+)", " ".join(re.findall(r"\[@[^\]]*\]", made.markdown))))
    entries = re.findall(r"^@\w+\{(\w+),", made.bibtex, re.MULTILINE)
    assert sorted(entries) == sorted(cited)
    assert {"rafailov2023dpo", "hu2022lora", "vonwerra2020trl"} <= cited
    assert all(entry.count("{") == entry.count("}") for entry in bibliography().values())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "ipo", "r": 8}, "identity preference optimisation [@azar2024ipo]"),
        ({"r": 8, "rpo_alpha": 0.5}, "with a likelihood term [@pang2024rpo]"),
        ({"r": 8, "trainer": "unsloth"}, "[@han2023unsloth]"),
        ({"steered": "layer 5"}, "to the output of `layer 5` [@rimsky2023steering]"),
        ({}, "was not trained here"),
    ],
)
def test_each_way_of_training_is_named_with_its_source(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    made = Run(tmp_path / "run")
    for arm in ("base", "INFP"):
        made.add(arm, "situations", axis_samples({"log_odds": 0.0}, 0.0, len(arm)))
    contents, rows = read_run(made.write()), compare_run(made.folder)
    card = contents.adapters[0].card
    assert card is not None
    card["settings"] = settings
    assert said in methods(contents, rows).markdown


def test_a_task_of_others_without_a_reference_is_said(run: Run) -> None:
    for arm in ("base", "INFP"):
        run.add(arm, "nobody_knows_it", [sample(f"q{k}", {"acc": 1.0}) for k in range(6)])
        run.add(arm, "hellaswag", [sample(f"q{k}", {"acc": 1.0}) for k in range(6)])
    made = methods_of(run.write())
    assert made.unknown == ["nobody_knows_it"]
    assert "HellaSwag" in made.bibtex  # from the README of lm-eval's own task


def test_latex_has_the_same_words_with_its_marks_escaped() -> None:
    assert to_latex("95 % of `a_b{c}` [@x; @y] & more") == r"95 \% of \texttt{a\_b\{c\}} \citep{x,y} \& more"


def test_a_name_can_end_nothing_early(run: Run) -> None:
    run.record["base"]["name"] = "`} [@holm1979] \\input{/etc/passwd}"
    made = methods_of(run.write())
    assert r"\input" not in made.latex
    assert made.markdown.count("`") % 2 == 0
