"""`lapd report RUN RUN2 -o index.html`: several runs beside each other on the tasks that they share."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from shown_runs import shown_run, unfinish

from lapd.compare.comparisons import compare_run
from lapd.report.fresh import is_stale
from lapd.report.labels import shown
from lapd.report.several.runs import differences, read_runs, side_by_side

REPLICATES = ("INFP.0", "INFP.1", "shuffled-INFP.0", "shuffled-INFP.1")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """One with replicates and a task more; the other of single trainings, with another torch and a hostile name."""
    one = shown_run(tmp_path / "one", REPLICATES, ("situations", "knowledge_mini"))
    two = shown_run(tmp_path / "<b>x: y", torch="2.11")
    for run in (one, two):  # making them takes the longest
        (run / "report.html").write_text("mine")
    return one, two


def test_an_index_says_first_what_differs_and_then_puts_the_rows_side_by_side(
    runs: tuple[Path, Path], tmp_path: Path, invoke: Callable[..., Any]
) -> None:
    out = tmp_path / "index.html"
    result = invoke("report", *runs, "-o", out, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["differs"], told["tasks"]) == ({"torch": ["2.13.0", "2.11"]}, ["situations"])
    assert told["bytes"] == out.stat().st_size
    page = out.read_text()
    assert page.index("2.11</td>") < page.index('<h2 id="task/situations">')
    assert "Only in one: knowledge_mini." in page
    assert "<b>x" not in page and "<script" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    hrefs = re.findall(r'href="([^"#]+)"', page)
    places = [(tmp_path / unquote(unescape(href))).resolve() for href in hrefs]
    assert places == [run.resolve() / "report.html" for run in runs]
    assert all(place.is_file() for place in places) and not any(":" in href for href in hrefs)
    for run, arm, baseline in [(runs[0], "INFP", "base"), (runs[1], "INFP", "shuffled-INFP")]:
        (row,) = [
            r for r in compare_run(run) if r.primary and (r.arm, r.baseline, r.task) == (arm, baseline, "situations")
        ]
        assert f'<b>{shown(row).difference}</b> <span class="interval">{shown(row).interval}</span>' in page


def test_controls_are_matched_by_their_kind_and_single_rows_give_way_to_trainings(runs: tuple[Path, Path]) -> None:
    found = read_runs(runs)
    (lines,) = side_by_side(found, "situations").values()
    assert [(arm, against, [row.scope if row else None for row in rows]) for arm, against, rows in lines] == [
        ("INFP", "base", ["training", "adapter"]),
        ("INFP", "shuffled controls", ["training", "adapter"]),
        ("shuffled-INFP", "base", ["training", "adapter"]),
    ]
    assert differences(found[:1]) == {}


def test_a_runs_own_page_is_written_where_it_is_missing_or_stale(
    runs: tuple[Path, Path], tmp_path: Path, invoke: Callable[..., Any]
) -> None:
    pages = [run / "report.html" for run in runs]
    assert not is_stale(pages[1], runs[1])
    later = pages[1].stat().st_mtime_ns + 1
    os.utime(next((runs[1] / "cells").iterdir()), ns=(later, later))  # as a verdict's file that is new in it does
    assert is_stale(pages[1], runs[1])
    assert is_stale(tmp_path / "missing.html", runs[1])
    invoke("report", *runs, "-o", tmp_path / "index.html")
    assert (pages[0].read_text(), pages[1].read_text().startswith("<!doctype")) == ("mine", True)


def test_what_no_index_can_be_made_of_is_refused_in_a_line(
    runs: tuple[Path, Path], tmp_path: Path, invoke: Callable[..., Any]
) -> None:
    out = tmp_path / "index.html"
    for args, code, message in [
        ([*runs], 2, "needs a place. Give -o index.html."),
        ([runs[0], runs[0], "-o", out], 2, "is there twice"),
        ([*runs, "-o", runs[0] / "report.html"], 2, "is a run's own page"),
        ([runs[0], tmp_path / "none", "-o", out], 1, "is no run folder"),
    ]:
        result = invoke("report", *args)
        assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    unfinish(runs[1], "base", "INFP")
    (runs[1] / "report.html").touch()
    assert invoke("report", *runs, "-o", out).exit_code == 0
    assert "unfinished" in out.read_text()
    unfinish(runs[1])
    assert "no arm has a finished baseline" in invoke("report", *runs, "-o", out).stderr
