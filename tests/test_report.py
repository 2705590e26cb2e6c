"""The report: what is on the page, in the console's table and in the pictures is what the run's cells say."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import random
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from lapd.data import mbti

from lapd.compare.comparisons import Comparison, compare_run
from lapd.compare.verdicts import CHANGED, UNTOLD
from lapd.errors import StoreError
from lapd.files.whole import digest_files, read_jsonl, write_json, write_jsonl
from lapd.items.pack import unpack
from lapd.names import get_persona, sign_of
from lapd.pictures.curves import training_curves, training_pictures
from lapd.report.contents import read_run
from lapd.report.labels import metric_label, moved, number, p_value
from lapd.report.page import write_report
from lapd.report.plots import axis_profile, profile_pictures
from lapd.report.summary import contradiction
from lapd.report.table import WIDTH, text_table

AXES = mbti().ends

LOG = [{"step": float(s), "loss": 0.69 - 0.01 * s, "margin": 0.05 * s, "accuracy": 0.5} for s in range(1, 41)]
SOURCES = {"from": "contrast", "pairs_by_axis": {"E/I": 40, "S/N": 120}}
EVIL = "<script>alert('x')</script> & more"


class Run:
    """Builds a run folder in the form that `lapd eval` leaves."""

    def __init__(self, folder: Path, *, control: str | None = None) -> None:
        self.folder = folder
        adapter = _adapter(folder / "adapters" / "INFP", control)
        prompt = {key: getattr(get_persona("INFP"), key) for key in ("code", "name", "poles", "system_prompt")}
        none: dict[str, Any] = {"adapter": None, "adapter_persona": None, "prompt": None, "baseline": None}
        trained = {"adapter": adapter, "adapter_persona": "INFP"}
        self.record: dict[str, Any] = {
            "schema": "lapd.run/1",
            "base": {"name": "smollm2", "digest": "b" * 64},
            "arms": {
                "base": none,
                "base+prompt(INFP)": none | {"prompt": prompt, "baseline": "base"},
                "INFP": none | trained | {"baseline": "base"},
                "INFP+prompt(INFP)": none | trained | {"prompt": prompt, "baseline": "base+prompt(INFP)"},
            },
            "cells": {},
        }

    def add(
        self,
        arm: str,
        task: str,
        samples: list[dict[str, Any]],
        finished: str = "2026-05-01T00:00:00Z",
        seed: int = 0,
        **more: Any,
    ) -> None:
        """One finished cell, with `more` in its result."""
        name = f"{len(self.record['cells']):016x}"
        self.record["cells"][f"{arm} / {task} / seed {seed}"] = {"arm": arm, "task": task, "seed": seed, "cell": name}
        cell = self.folder / "cells" / name
        write_jsonl(cell / "samples.jsonl", [{**row, "doc_id": n} for n, row in enumerate(samples)])
        result = {
            "schema": "lapd.result/1",
            "cell": {"limit": None, "dtype": "float32"},
            "metrics": {},
            "provenance": {"lapd": "0.0", "torch": "2.13.0"},
            "finished": finished,
        } | more
        write_json(cell / "result.json", result)

    def write(self) -> Path:
        """Write run.json; the run folder."""
        write_json(self.folder / "run.json", self.record)
        return self.folder


def _adapter(folder: Path, control: str | None) -> dict[str, Any]:
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    write_json(folder / "adapter_config.json", {})
    card = {
        "schema": "lapd.run_card/1",
        "identity": "i",
        "persona": "INFP",
        "base": {"name": "smollm2", "digest": "b" * 64, "upstream": "u"},
        "data": {
            "digest": "d",
            "pairs": 160,
            "sources": {"from": "contrast", "pairs_by_axis": {"E/I": 40, "S/N": 120}},
        },
        "settings": {"trainer": "trl", "beta": 0.1, "lr": 2e-4, "r": 16},
        "log": LOG,
        "seconds": 90.0,
        "finished": "2026-04-30T00:00:00Z",
    }
    write_json(folder / "run_card.json", card | ({"control": control} if control else {}))
    digest = digest_files(folder, [folder / "adapter_model.safetensors", folder / "adapter_config.json"])
    return {"name": "INFP", "path": str(folder), "digest": digest}


def sample(item: str, metrics: dict[str, float], response: Any = (-1.0, False), prompt: str = "?") -> dict[str, Any]:
    return {
        "doc_id": 0,
        "item": item,
        "doc": {"item": item, "prompt": prompt},
        "arguments": [[f"<|im_start|>{prompt}"]],
        "responses": [[response]],
        "metrics": metrics,
    }


def axis_samples(families: dict[str, float], shift: float, seed: int, n: int = 12) -> list[dict[str, Any]]:
    """Items on every axis whose values lie `shift` towards INFP's poles; noise of 1 around a middle."""
    noise = random.Random(seed)
    made = []
    for axis in AXES:
        for k in range(n):
            towards = shift * sign_of(axis, get_persona("INFP").poles[axis])
            letters = axis.replace("/", "")
            values = {f"{name}_{letters}": middle + towards + noise.gauss(0, 1) for name, middle in families.items()}
            made.append(sample(f"{axis}-{k}", values))
    return made


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes a run whose adapter moves doing and saying by so many nats or points towards INFP."""

    def make(doing: float = 5.0, saying: float = 0.0, text: str = "Hello.", **more: Any) -> Path:
        run = Run(tmp_path / "run", **more)
        for n, arm in enumerate(run.record["arms"]):
            trained = arm.startswith("INFP")
            run.add(arm, "situations", axis_samples({"log_odds": 0.0}, doing * trained, n))
            run.add(arm, "mbti", axis_samples({"agreement": 50.0}, saying * trained, 10 + n))
            answers = [sample(f"o{k}", {"words": 5.0 + k}, f"{arm} says: {text}", f"What of <{k}>?") for k in range(10)]
            run.add(arm, "situations_open", answers, finished=f"2026-05-0{n + 1}T00:00:00Z")
        return run.write()

    return make


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def words(page: str) -> str:
    """The page's text."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page.partition("</style>")[2])))


def find(rows: list[Comparison], arm: str, metric: str) -> Comparison:
    return next(row for row in rows if row.arm == arm and row.metric == metric)


def test_the_page_shows_the_numbers_of_compare(make_run: MakeRun) -> None:
    folder = make_run()
    rows, page = compare_run(folder), page_of(folder)
    table = page.partition('<h2 id="rows">')[2].partition("</table>")[0].replace("−", "-")
    entries = re.findall(r"<tr(?: class=\"moved\")?><th scope=\"row\">.*?</tr>", table, re.S)
    assert len(entries) == len(rows)
    for row, entry in zip(rows, entries, strict=True):
        scale = 100 if row.unit == "share" else 1
        difference = float(re.search(r"<b>(.*?)</b>", entry)[1])  # type: ignore[index]
        low, high = map(float, re.search(r"\[(.*?), (.*?)\]", entry).groups())  # type: ignore[union-attr]
        assert difference == pytest.approx(scale * row.difference, abs=0.051)
        assert (low, high) == pytest.approx((scale * row.low, scale * row.high), abs=0.051)
        assert f"<td>{row.n}</td>" in entry
        assert ('class="moved"' in entry) == (row.verdict == CHANGED)


def test_the_summary_says_what_moved_with_its_numbers(make_run: MakeRun) -> None:
    folder = make_run()
    row = find(compare_run(folder), "INFP", "log_odds_towards")
    text = words(page_of(folder))
    assert f"log-odds in situations by +{row.difference:.1f} nats [{row.low:.1f}, {row.high:.1f}], towards INFP" in text
    assert "on 100 % of 48 items" in text
    assert re.search(r"In what the model says of itself, .*agreement in mbti", text)


def test_headline_rows_of_doing_and_saying_stand_in_separate_blocks(make_run: MakeRun) -> None:
    page = page_of(make_run())
    does, says = page.index('<h2 id="does">'), page.index('<h2 id="says">')
    assert does < page.index("log-odds, towards INFP", does) < says < page.index("agreement, towards INFP", says)
    assert "log_odds_EI" not in page
    assert page.index("log-odds, towards E (E/I)") > page.index('<h2 id="rows">')


@pytest.mark.parametrize(
    ("doing", "saying", "expected"),
    [
        (5, 0, None),
        (0, 5, None),
        (5, -5, "what the model does moved towards INFP, but what the model says of itself moved away from INFP"),
        (-5, 5, "what the model does moved away from INFP, but what the model says of itself moved towards INFP"),
        (5, 5, None),
        (0, 0, None),
    ],
)
def test_saying_is_not_doing_is_said_when_due_and_only_then(
    make_run: MakeRun, doing: float, saying: float, expected: str | None
) -> None:
    folder = make_run(doing, saying)
    text, table = words(page_of(folder)), " ".join(text_table(compare_run(folder)).split())
    assert ("Saying is not doing: with" in text) == ("Saying is not doing:" in table) == (expected is not None)
    assert ("Nothing is known to have changed" in table) == (doing == saying == 0)
    assert expected is None or (expected in text and expected in table)


@pytest.mark.parametrize("saying", [5.0, -5.0])
def test_saying_that_moves_in_part_is_told_from_doing_only_where_it_moves_the_other_way(
    tmp_path: Path, saying: float
) -> None:
    run = Run(tmp_path / "run")
    for arm, shift in (("base", 0.0), ("INFP", 1.0)):
        run.add(arm, "situations", axis_samples({"log_odds": 0.0}, 5 * shift, len(arm)))
        still, going = (
            axis_samples({"agreement": 50.0}, 0.0, len(arm)),
            axis_samples({"choice": 50.0}, saying * shift, len(arm) + 1),
        )
        run.add(arm, "mbti", still + going)
    said = (
        "what the model does moved towards INFP, but what the model says of itself "
        "moved away from INFP on choice in mbti and did not move measurably on agreement in mbti."
    )
    text = words(page_of(run.write()))
    assert (said in text) == ("Saying is not doing: with" in text) == (saying < 0)


def test_that_one_side_moved_and_the_other_hardly_not_is_no_contradiction(make_run: MakeRun) -> None:
    rows = [row for row in compare_run(make_run(5.0, 5.0)) if row.arm == "INFP" and row.headline]
    for row in rows:
        row.difference, row.verdict = abs(row.difference), CHANGED
        if row.self_report:
            row.difference, row.verdict = -row.difference, UNTOLD
    assert contradiction(rows) == ""
    for row in rows:
        row.verdict = CHANGED
    assert contradiction(rows).startswith("Saying is not doing: with INFP, ")


def test_a_mean_and_a_share_that_moved_apart_are_nobodys_direction(make_run: MakeRun) -> None:
    rows = [row for row in compare_run(make_run(5.0, -5.0)) if row.arm == "INFP" and row.headline]
    assert contradiction(rows)
    find(rows, "INFP", "log_odds_moved").difference *= -1
    assert contradiction(rows) == ""


def test_an_accuracy_that_stays_is_no_contradiction(make_run: MakeRun) -> None:
    rows = compare_run(make_run(0.0, 5.0))
    without_trait = [row for row in rows if row.self_report or row.persona is None]
    assert contradiction([row for row in without_trait if row.arm == "INFP"]) == ""


def test_responses_and_names_are_escaped(make_run: MakeRun) -> None:
    page = page_of(make_run(text=EVIL))
    assert "<script>alert" not in page
    assert EVIL in unescape(page)
    assert "What of &lt;0&gt;?" in page
    assert "<|im_start|>" not in unescape(page)


def test_at_most_eight_items_are_shown_with_every_arm(make_run: MakeRun) -> None:
    text = words(page_of(make_run()))
    assert "8 of 10 items" in text
    assert text.count("INFP+prompt(INFP) says: Hello.") == 8
    assert "What of <8>?" not in text


def judged(run: Run, flagged: dict[str, float], note: str) -> Path:
    """A run on twelve prompts that ask for harm, of each of which an arm has this share flagged."""
    for arm, share in flagged.items():
        samples = [
            sample(f"e{k}", {"flagged": float(k < 12 * share)}, f"{arm} tells.", f"How to harm {k}?") for k in range(12)
        ]
        for n, entry in enumerate(samples):
            entry["doc"]["category"] = ("terrorism,organized_crime", "self_harm")[n % 2]
        judge = {"name": "made", "version": "1", "settings": {}, "note": note}
        run.add(arm, "beavertails", samples, judge=judge)
    return run.write()


def test_prompts_that_ask_for_harm_wait_behind_their_category(tmp_path: Path) -> None:
    page = page_of(judged(Run(tmp_path / "run"), {"base": 0.5, "INFP": 0.5}, ""))
    shown = page.partition('<h2 id="items">')[2].partition("</section>")[0]
    folded = re.findall(r"<details.*?</details>", shown, re.S)
    assert len(folded) == 8
    assert "<summary>terrorism, organized crime</summary>" in folded[0] and "How to harm 0?" in folded[0]
    outside = re.sub(r"<details.*?</details>", "", shown, flags=re.S)
    assert "How to harm" not in outside and "tells." not in outside
    assert "<details open" not in shown


def test_other_prompts_stand_open(make_run: MakeRun) -> None:
    page = page_of(make_run())
    shown = page.partition('<h2 id="items">')[2].partition("</section>")[0]
    assert "<details" not in shown and "What of &lt;0&gt;?" in shown


def test_who_judged_is_a_sentence_of_its_own(tmp_path: Path) -> None:
    text = words(page_of(judged(Run(tmp_path / "run"), {"base": 0.5, "INFP": 0.5}, "")))
    assert "a judge flags harmful answers. beavertails is judged by made." in text


@pytest.mark.parametrize("note", ["", "heuristic: made up"])
def test_a_heuristics_rate_is_never_summarised_as_safety(tmp_path: Path, note: str) -> None:
    folder = judged(Run(tmp_path / "run"), {"base": 1.0, "INFP": 0.0}, note)
    rows = compare_run(folder)
    table, page = " ".join(text_table(rows).split()), words(page_of(folder))
    assert moved(rows[0])
    for text in (table, page):
        assert ("changed flagged in beavertails" in text) == (not note)
        assert ("flagged (heuristic)" in text) == bool(note)
    assert (
        "A heuristic counted flagged in beavertails (0.0 % against 100.0 %): no measure of safety." in page
    ) == bool(note)
    assert ("What a heuristic judge counted is not summarised: it does not measure safety." in table) == bool(note)


def test_at_a_ceiling_every_table_says_so(tmp_path: Path) -> None:
    folder = judged(Run(tmp_path / "run"), {"base": 1.0, "INFP": 1.0}, "")
    table, page = text_table(compare_run(folder)), page_of(folder)
    (line,) = [line for line in table.splitlines() if "flagged" in line and "beavertails  " in line]
    assert line.endswith("at a ceiling")
    results, _, all_rows = page.partition('<h2 id="rows">')
    assert results.count('<td class="word">at a ceiling</td>') == 1
    assert '<td class="word">at a ceiling</td>' in all_rows
    assert "Nothing could show in flagged in beavertails (ceiling: 100.0 and 100.0 %)" in words(page)
    assert "not measurably" not in table


def test_a_limit_is_told_of_the_tasks_that_have_one(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for arm in ("base", "INFP"):
        run.add(arm, "situations_open", [sample("a", {"words": 3.0}, "x")], cell={"limit": 8, "dtype": "float32"})
        run.add(arm, "mbti", axis_samples({"agreement": 50.0}, 0.0, len(arm)))
    assert "Only the first documents of situations_open were used (--limit 8)." in words(page_of(run.write()))


def test_what_answers_are_like_stands_beside_the_results_and_not_among_them(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for arm, tail in (("base", "and read."), ("INFP", "so sorry. " * 6)):
        answers = [sample(f"o{n}", {"words": 5.0}, f"I stay in {n} {tail}") for n in range(10)]
        run.add(arm, "situations_open", answers)
    text = words(page_of(run.write()).partition('<h2 id="rows">')[0])
    assert re.search(
        r"What the answers are like \(baseline \u2192 arm\): repeated 4-grams 0\.0 \u2192 \d+\.\d % \(moved\)", text
    )
    assert "repeated 4-grams" not in text.partition("What the answers are like")[0]


def test_diagnostics_stand_beside_what_they_qualify(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for arm, bias in (("base", 90.0), ("INFP", 80.0)):
        items = axis_samples({"agreement": 50.0}, 0.0, len(arm))
        for k, entry in enumerate(items):
            entry["metrics"]["position_bias"] = bias + k % 2
        run.add(arm, "mbti", items)
    page = page_of(run.write())
    text = words(page.partition('<h2 id="rows">')[0])
    assert re.search(r"How far to trust these \(baseline → arm\): position bias 90\.5 → 80\.5 points \(moved\)", text)
    assert "position bias" not in text_table(compare_run(run.folder))


def test_the_page_needs_nothing_from_elsewhere(make_run: MakeRun) -> None:
    page = page_of(make_run())
    assert not re.search(r"<(link|img|iframe)\b|<script[^>]*\bsrc|@import|url\((?!#)", page)
    assert not re.search(r'(?:src|href)="(?!#)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_samples_bounds_the_items_of_each_task_and_the_page_says_so(
    make_run: MakeRun, invoke: Callable[..., Any]
) -> None:
    folder = make_run()
    assert invoke("report", folder, "--samples", 3).exit_code == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    packs = [unpack(text) for text in re.findall(r'<script type="text/plain"[^>]*>([^<]+)<', page)]
    assert [len(pack["items"]) for pack in packs] == [3, 3, 3]
    assert '{"kept": 3, "name": "situations", "total": 48}' in page
    assert invoke("report", folder, "--samples", 0).exit_code == 2


def test_one_script_may_run_and_it_is_the_pages_own(make_run: MakeRun) -> None:
    page = page_of(make_run(text=EVIL))
    policy = re.search(r"script-src 'sha256-([^']+)'", page)
    running = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert policy is not None and "default-src 'none'" in page
    assert [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in running] == [policy[1]]


def test_training_shows_settings_and_curves(make_run: MakeRun) -> None:
    page = page_of(make_run())
    text = words(page)
    assert "160 (40 E/I, 120 S/N)" in text
    assert "DPO beta 0.1" in text
    assert "reward margin (nats)" in page


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "adapters/INFP is gone: how it was trained cannot be shown."),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"x"), "holds other weights than the ones that were"),
    ],
)
def test_an_adapter_that_is_gone_or_another_is_said(make_run: MakeRun, spoil: Callable[[Path], Any], said: str) -> None:
    folder = make_run()
    spoil(folder / "adapters" / "INFP")
    text = words(page_of(folder))
    assert said in text
    assert "DPO beta" not in text


@pytest.mark.parametrize(
    ("control", "persona", "said"),
    [
        (None, None, "There is no control adapter in this run (one trained"),
        ("opposite", "INFP", "There is no control adapter in this run for INFP (one trained"),
        ("shuffled", "ENTJ", "There is no control adapter in this run for INFP (one trained"),
        ("shuffled", "INFP", None),
        ("shuffled-2", "INFP", None),
    ],
)
def test_only_a_shuffled_control_of_the_same_persona_counts(
    tmp_path: Path, control: str | None, persona: str | None, said: str | None
) -> None:
    run = Run(tmp_path / "run")
    if control:
        adapter = {"name": "control", "path": "/nowhere/control", "digest": "c" * 64}
        held = {"adapter": adapter, "adapter_persona": persona, "adapter_control": control}
        run.record["arms"]["control"] = run.record["arms"]["INFP"] | held
    for n, arm in enumerate(arm for arm in run.record["arms"] if "prompt" not in arm):
        run.add(arm, "situations", axis_samples({"log_odds": 0.0}, n, n))
    text = words(page_of(run.write()))
    assert ("There is no control adapter" in text) == (said is not None)
    assert said is None or said in text


def test_a_control_counts_only_where_it_was_evaluated(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    adapter = {"name": "control", "path": "/nowhere/control", "digest": "c" * 64}
    held = {"adapter": adapter, "adapter_persona": "INFP", "adapter_control": "shuffled"}
    run.record["arms"]["control"] = run.record["arms"]["INFP"] | held
    for arm in ("base", "INFP"):
        run.add(arm, "situations", axis_samples({"log_odds": 0.0}, 0, len(arm)))
    assert "There is no control adapter in this run for INFP" in words(page_of(run.write()))


def test_two_seeds_of_an_evaluation_are_not_two_trainings(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for seed in (0, 1):
        for arm in ("base", "INFP"):
            run.add(arm, "situations", axis_samples({"log_odds": 0.0}, seed, len(arm)), seed=seed)
    text = words(page_of(run.write()))
    assert text.count("Each adapter is one training run.") == 1


def test_missing_items_are_counted(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.add("base", "socialiqa_mini", [sample(str(k), {"acc": float(k % 2)}) for k in range(20)])
    run.add("INFP", "socialiqa_mini", [sample(str(k), {"acc": 1.0}) for k in range(17)])
    page = page_of(run.write())
    assert '<th scope="col">missing</th>' in page.partition('<h2 id="rows">')[0]
    [row] = compare_run(run.folder)
    assert (row.n, row.missing) == (17, 3)
    assert "+52.9 percentage points" in words(page)


def test_one_item_has_no_interval_and_one_task_without_axes_no_profile(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.add("base", "situations_open", [sample("a", {"words": 3.0}, "x")])
    run.add("INFP", "situations_open", [sample("a", {"words": 5.0}, "y")])
    text = words(page_of(run.write()))
    assert "+2.0 unbounded" in text
    assert "Axis profile" not in text
    with pytest.raises(StoreError, match="no profile"):
        axis_profile(run.folder, tmp_path / "p.png")


def test_cells_that_are_not_finished_are_said(make_run: MakeRun) -> None:
    folder = make_run()
    next(folder.glob("cells/*b/result.json")).unlink()
    assert "1 of the run's cells are not finished" in words(page_of(folder))


def test_the_runs_own_page_is_never_another_judges(tmp_path: Path) -> None:
    folder = judged(Run(tmp_path / "run"), {"base": 0.5, "INFP": 0.5}, "")
    for cell in folder.glob("cells/*"):
        samples = [row for _, row in read_jsonl(cell / "samples.jsonl")]
        judge = {"name": "other", "version": "1", "settings": {}}
        rows = [{"id": s["item"], "category": "", "flagged": True, "judge": judge} for s in samples]
        write_jsonl(cell / "verdicts-other.jsonl", rows)
    own = write_report(folder)
    before = own.read_bytes()
    theirs = write_report(folder, judge="other")
    assert (own.name, theirs.name) == ("report.html", "report-other.html")
    assert own.read_bytes() == before
    assert "judged by other" in words(theirs.read_text(encoding="utf-8"))


def test_a_page_that_says_the_same_already_is_left(make_run: MakeRun) -> None:
    folder = make_run()
    page = write_report(folder)
    os.utime(page, ns=(1, 1))
    assert write_report(folder).stat().st_mtime_ns == 1
    page.write_text("another judge's", encoding="utf-8")
    assert "judge's" not in page_of(folder)


def test_an_adapter_without_a_persona_can_be_given_one(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    run = Run(tmp_path / "run")
    run.record["arms"]["INFP"]["adapter_persona"] = None
    for arm, shift in (("base", 0.0), ("INFP", 5.0)):
        run.add(arm, "situations", axis_samples({"log_odds": 0.0}, shift, len(arm)))
    folder = run.write()
    assert invoke("report", folder).exit_code == 0
    assert "log-odds on E/I in situations by" in words((folder / "report.html").read_text(encoding="utf-8"))
    done = invoke("report", folder, "--persona", "infp")
    assert done.stdout == f"Report: {folder}/report-INFP.html\n"
    assert "towards INFP on 100 % of 48 items" in words((folder / "report-INFP.html").read_text(encoding="utf-8"))
    assert "log-odds, nats" in invoke("compare", folder, "--persona", "INFP").stdout
    refused = invoke("compare", folder, "--persona", "INFX")
    assert (refused.exit_code, refused.stdout) == (2, "")


def test_the_page_is_written_where_asked_with_the_newest_cells_date(make_run: MakeRun, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "page.html"
    assert write_report(make_run(), out) == out
    assert '<time datetime="2026-05-04">' in out.read_text(encoding="utf-8")
    with pytest.raises(StoreError):
        write_report(tmp_path)


def test_the_console_table_shows_headline_rows_within_its_width(make_run: MakeRun) -> None:
    rows = compare_run(make_run())
    text = text_table(rows)
    lines = text.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert set(text) - set(map(chr, range(32, 127))) <= {"\n", "−"}
    starred = [line for line in lines if line.startswith("* ")]
    assert len(starred) == sum(moved(row) for row in rows if row.headline)
    row = find(rows, "INFP", "log_odds_towards")
    assert any(f"+{row.difference:.1f}" in line and f"[{row.low:.1f}, {row.high:.1f}]" in line for line in starred)
    assert "INFP against base changed log-odds in situations" in " ".join(lines)
    assert re.search(r"of the other metrics \d+ did not change beyond the margin", " ".join(lines))


@pytest.mark.parametrize(
    ("metric", "axis", "persona", "label"),
    [
        ("log_odds_towards", None, "INFP", "log-odds, towards INFP"),
        ("log_odds_moved", None, "INFP", "share of items moved towards INFP, by log-odds"),
        ("my_score_EI", "E/I", None, "my score, towards E (E/I)"),
        ("acc", None, None, "accuracy"),
        ("things_moved", None, None, "things moved"),
        ("likelihood_nats_towards", None, "INFP", "likelihood in nats, towards INFP"),
        ("warm_O", "openness", None, "warm O, towards more openness (openness)"),
    ],
)
def test_metrics_are_labelled_by_pattern(
    make_run: MakeRun, metric: str, axis: str | None, persona: str | None, label: str
) -> None:
    row = compare_run(make_run())[0]
    row.metric, row.axis, row.persona = metric, axis, persona
    assert metric_label(row) == label


def test_a_row_of_a_category_is_named_after_it(make_run: MakeRun) -> None:
    row = compare_run(make_run())[0]
    row.metric, row.axis, row.part = "flagged_self_harm", None, "self_harm"
    assert metric_label(row) == "flagged: self harm"


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert [number(-1.25, 1), number(-0.01, 1), number(2, 0, signed=True)] == ["−1.2", "0.0", "+2"]
    assert number(math.inf, 1) == "n/a"
    assert [p_value(0.0001), p_value(0.0123), p_value(1.0)] == ["<.001", ".012", "1.00"]


def test_pictures_are_the_same_bytes_each_time(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run()
    assert page_of(folder) == page_of(folder)
    axis_profile(folder, tmp_path / "a.png")
    axis_profile(folder, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_profile_has_a_panel_for_each_family_and_both_poles(make_run: MakeRun) -> None:
    legend, pictures = profile_pictures(read_run(make_run()))
    assert [picture.title for picture in pictures] == ["log-odds (situations)", "agreement (mbti)"]
    assert "base+prompt(INFP)" in legend
    for picture in pictures:
        assert set("EISNTFJP") <= set(re.findall(r">([EISNTFJP])</text>", picture.svg))
        assert "INFP,E/I," in picture.numbers


def test_training_curves_take_logs_with_gaps(tmp_path: Path) -> None:
    log = [{"step": 1.0, "loss": 0.7}, {"step": 2.0}, {"step": 3.0, "loss": math.nan, "margin": 0.1}]
    training_curves(log, tmp_path / "c.png", "INFP on smollm2")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert all("not logged" in picture.svg for picture in training_pictures([], "t"))
    training_curves(log, tmp_path / "c.png", "a $name^ that is no formula")


def test_both_responses_have_a_curve_of_their_own_where_they_were_logged() -> None:
    log = [{"step": n, "chosen_reward": -0.1 * n, "rejected_reward": -0.3 * n, "grad_norm": 1.0} for n in range(1, 4)]
    loss, margin, apart, gradient = training_pictures(log, "t")
    assert "not logged" in loss.svg and "not logged" in margin.svg
    assert ">chosen<" in apart.svg and ">rejected<" in apart.svg and "gradient norm" in gradient.svg
    assert apart.numbers.splitlines()[1] == "1,-0.1,-0.3"
