"""Checkpoints of one training in the report: trait and cost over its steps, drawn and in a table."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from test_audit_verdicts import written
from test_report import Run, axis_samples, page_of, sample, words

from lapd.compare.comparisons import Comparison, compare_measured
from lapd.compare.measured import read_measured
from lapd.report.glance.checkpoints import trainings
from lapd.report.glance.over_steps import OverSteps, over_steps
from lapd.report.glance.subjects import subjects
from lapd.report.labels import shown

SECTION = re.compile(r'<section aria-labelledby="steps">.*?</section>', re.DOTALL)


def trained(folder: Path, places: dict[str, str], persona: str | None = "INFP") -> Path:
    """A run of adapters, each in its place, that are the further from the base the larger the number in their names."""
    run = Run(folder)
    none = run.record["arms"]["base"]
    run.record["arms"] = {"base": none}
    for n, (name, place) in enumerate(places.items()):
        adapter = {"name": name, "path": place, "digest": f"{n:064d}"}
        run.record["arms"][name] = none | {"adapter": adapter, "adapter_persona": persona, "baseline": "base"}
    for n, arm in enumerate(run.record["arms"]):
        far = int(found[0]) if (found := re.findall(r"\d+", arm)) else 0
        run.add(arm, "situations", axis_samples({"log_odds": 0.0}, far / 4, n))
        right = [sample(f"q{k}", {"acc": float(k >= 0.75 * far)}) for k in range(60)]
        run.add(arm, "knowledge_mini", right)
    return run.write()


@dataclass
class Read:
    """A run as it is compared and drawn."""

    folder: Path
    rows: list[Comparison]
    drawn: list[OverSteps]


def read(folder: Path) -> Read:
    measured = read_measured(folder)
    rows = compare_measured(measured).rows
    return Read(folder, [row for row in rows if row.primary], over_steps(measured.arms, rows, measured.infos))


@pytest.fixture(scope="module")
def of_three(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """A run of the base and of the checkpoints at 30, 4 and 12 steps of one training."""
    names = ("checkpoint-30", "checkpoint-4", "checkpoint-12")
    return read(trained(tmp_path_factory.mktemp("steps") / "run", {name: f"/out/run/{name}" for name in names}))


def test_each_panel_has_the_numbers_of_compare_in_the_order_of_the_steps(of_three: Read) -> None:
    rows = {(row.arm, row.metric): row for row in of_three.rows}
    (training,) = of_three.drawn
    panels = [list(csv.DictReader(io.StringIO(picture.numbers))) for picture in training.pictures]
    assert [panel[0]["metric"] for panel in panels] == ["log_odds_towards", "acc"]
    for panel, picture in zip(panels, training.pictures, strict=True):
        assert [int(entry["step"]) for entry in panel] == [4, 12, 30]
        for entry in panel:
            row = rows[f"checkpoint-{entry['step']}", entry["metric"]]
            assert float(entry["difference"]) == row.difference
            assert (float(entry["low"]), float(entry["high"])) == (row.low, row.high)
            title = next(t for t in re.findall(r"<title>(.*?)</title>", picture.svg) if f"Step {entry['step']}," in t)
            assert shown(row).difference in title and shown(row).interval in title
            assert f">{entry['step']}</text>" in picture.svg


def test_a_change_lies_as_far_from_the_zero_line_as_it_is_large(of_three: Read) -> None:
    (training,) = of_three.drawn
    for metric, picture in zip(("log_odds_towards", "acc"), training.pictures, strict=True):
        paths = re.findall(r'<line [^>]*y1="([\d.]+)" [^>]*y2="([\d.]+)" style="stroke:var\(--ink\)', picture.svg)
        zero = float(paths[0][0])
        by_step = [row.difference for step in (4, 12, 30) for row in of_three.rows
                   if (row.arm, row.metric) == (f"checkpoint-{step}", metric)]  # fmt: skip
        above = [zero - float(end) for _, end in paths]
        assert [y / above[-1] for y in above] == pytest.approx([d / by_step[-1] for d in by_step], abs=0.01)
        assert (above[-1] > 0) == (by_step[-1] > 0)


def test_the_page_tells_when_it_broke_and_has_the_numbers_as_a_table(of_three: Read) -> None:
    page = page_of(of_three.folder)
    section = SECTION.search(page)
    assert section and '<li><a href="#steps">Over the steps</a>' in page
    assert "knowledge_mini (accuracy) is worse from step 12 on" in words("</style>" + section[0])
    table = unescape(section[0].partition("<tbody>")[2].partition("</tbody>")[0])
    assert re.findall(r'<th scope="row">(\d+)</th>', table) == ["4", "12", "30"]
    for row in of_three.rows:
        assert f'{shown(row).difference} <span class="interval">{shown(row).interval}</span>' in table


@pytest.mark.parametrize(
    "places",
    [
        {"checkpoint-4": "/out/run/checkpoint-4", "INFP": "/out/INFP"},
        {"checkpoint-4": "/out/one/checkpoint-4", "checkpoint-8": "/out/other/checkpoint-8"},
        {"INFP-4": "/out/INFP-4", "INFP-8": "/out/INFP-8"},
    ],
)
def test_adapters_that_are_no_checkpoints_of_one_training_are_not_drawn(tmp_path: Path, places: dict[str, str]) -> None:
    assert read(trained(tmp_path / "run", places)).drawn == []


def test_two_trainings_are_told_apart_by_name_or_folder(tmp_path: Path) -> None:
    places = {f"checkpoint-{n}": f"/out/{'early' if n < 10 else 'late'}/checkpoint-{n}" for n in (2, 4, 12, 14)}
    named = {f"mine-checkpoint-{n}": f"/out/mine/checkpoint-{n}" for n in (1, 3)}
    measured = read_measured(trained(tmp_path / "run", {**places, **named}))
    rows = compare_measured(measured).rows
    found = subjects(measured.arms, rows, measured.infos, every=True)
    made = {training.name: list(training.checkpoints) for training in trainings(found, measured.arms, rows)}
    assert made == {"early": [2, 4], "late": [12, 14], "mine": [1, 3]}


def test_what_is_written_has_panels_too_and_its_change_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    none = run.record["arms"]["base"]
    run.record["arms"] = {"base": none}
    for name, text in (("base", "see a friend."), ("checkpoint-4", "see a friend."), ("checkpoint-9", "see it. " * 9)):
        if name != "base":
            adapter = {"name": name, "path": f"/out/run/{name}", "digest": name}
            run.record["arms"][name] = none | {"adapter": adapter, "adapter_persona": "INFP", "baseline": "base"}
        run.add(name, "overrefusal", [written(n, text, -1.0) for n in range(20)])
    (training,) = read(run.write()).drawn
    told = [sentence for sentence in training.changes if "repeated 4-grams" in sentence]
    assert len(told) == 1 and "is worse from step 9 on" in told[0]
    first = [next(csv.DictReader(io.StringIO(picture.numbers))) for picture in training.pictures]
    assert [(row["metric"], row["side"]) for row in first] == [
        ("refused_harmless", "cost"),
        ("repeated_4grams", "coherence"),
        ("base_logprob", "coherence"),
    ]


def test_without_a_persona_each_axis_has_a_panel(tmp_path: Path) -> None:
    places = {f"checkpoint-{n}": f"/out/run/checkpoint-{n}" for n in (4, 16)}
    (training,) = read(trained(tmp_path / "run", places, persona=None)).drawn
    titles = [picture.title for picture in training.pictures]
    assert len(titles) == 5 and "situations: log-odds, towards E (E/I) (nats)" in titles
    assert any(line.startswith("situations (log-odds on E/I) has moved towards I from") for line in training.changes)
