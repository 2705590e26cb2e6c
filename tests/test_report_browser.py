"""The report's page in a real Chromium: hostile text stays text; filters, links, downloads, print and small screens."""

from __future__ import annotations

import csv
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from chromium import PROGRAM, Page, browser
from conftest import ROOT, run_python
from test_report import Run, sample

from lapd.files.whole import write_jsonl
from lapd.items.visible import visible
from lapd.report.page import write_report

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium is installed (Debian: apt-get install chromium)")

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
"""Where `npm install --no-save axe-core` puts it; it is no part of the repository."""

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "closing": "</script><script>alert(2)</script>",
    "noscript": "</noscript></textarea></title></style><script>alert(3)</script>",
    "handler": "\"><img src='http://127.0.0.1:9/x' onerror='alert(4)'>",
    "link": "<a href='javascript:alert(5)'>click</a>",
    "svg": "<svg/onload=alert(6)><use href='http://127.0.0.1:9/y#z'/>",
    "style": "</style><style>*{background:url(http://127.0.0.1:9/z)}</style>",
    "template": "{{ 7 * 7 }} {% include '/etc/passwd' %} ${alert(7)} <%= 7 %>",
    "comment": "<!--<script>--!>]]>",
    "entity": "&lt;b&gt; &amp;#x3c;script&#x3e;",
    "bidi": "before \u202eturned round\u202c after \u2067\u05d0",
    "control": "nul \x00 bell \x07 escape \x1b[31m delete \x7f next \x85",
    "half": "half \ud800 and \udfff",
    "name": "__proto__",
    "long": "m" * 1_000_000,
}


def arms_of(folder: Path, personas: list[str], names: list[str]) -> Run:
    """A run with one adapter of each name beside the base, none of which has weights."""
    run = Run(folder)
    none: dict[str, Any] = {"adapter": None, "adapter_persona": None, "prompt": None, "baseline": None}
    run.record["arms"] = {"base": none}
    for n, (persona, name) in enumerate(zip(personas, names, strict=True)):
        adapter = {"name": name, "path": f"/nowhere/{n}", "digest": f"{n:064d}"}
        mine = {"adapter": adapter, "adapter_persona": persona, "adapter_poles": {"E/I": "I"}, "baseline": "base"}
        run.record["arms"][name] = none | mine
    return run


def judged(
    run: Run, arm: str, task: str, samples: list[dict[str, Any]], verdicts: list[tuple[bool | None, str]]
) -> None:
    """A finished cell with a judge's verdicts beside its answers."""
    judge = {"name": "made", "version": "1", "settings": {}}
    run.add(arm, task, samples, judge=judge)
    cell = run.folder / "cells" / list(run.record["cells"].values())[-1]["cell"]
    rows = [
        {"id": row["item"], "flagged": flagged, "reason": reason, "categories": [], "judge": judge}
        for row, (flagged, reason) in zip(samples, verdicts, strict=True)
    ]
    write_jsonl(cell / "verdicts-made.jsonl", rows)


def options(item: str, first: float, second: float, prompt: str, texts: tuple[str, str]) -> dict[str, Any]:
    """A document that is answered by likelihood."""
    made = sample(item, {"log_odds_EI": first - second, "prefer_EI": 50.0}, prompt=prompt)
    made["doc"] |= {"choices": list(texts), "axis": "E/I"}
    return made | {"arguments": [[prompt, text] for text in texts], "responses": [[[first, False]], [[second, False]]]}


CHOOSE = """function choose(name, value) {
  const field = document.getElementById('filters').elements[name];
  field.value = value;
  field.dispatchEvent(new Event('input', { bubbles: true }));
}
"""

TASK = """task: odd
test_split: test
output_type: generate_until
process_results: !function utils.score
metric_list: [{metric: flagged}]
metadata:
  version: 1.0
  lapd: {description: DESCRIPTION, side: cost, primary: flagged, item: item, judged: prompt}
"""
PLUGIN = """from pathlib import Path
from lapd.hookspecs import TaskFolder
from lapd.pluginmanager import hookimpl
@hookimpl
def lapd_register_tasks(register):
    register(TaskFolder('odd', Path(__file__).parent / 'odd'))
"""
SCORE = """def score(doc, results):
    flagged = results[0]['flagged']
    return {} if flagged is None else {'flagged': float(flagged)}
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run in which everything that can hold text holds hostile text."""
    root = tmp_path_factory.mktemp("hostile")
    texts = list(HOSTILE.values())
    info = root / "odd-1.0.dist-info"
    for folder in (info, root / "odd"):
        folder.mkdir()
    (root / "odd_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lapd]\nodd = odd_plugin\n")
    described = json.dumps(" ".join(text for text in texts if text.isprintable()))
    (root / "odd" / "odd.yaml").write_text(TASK.replace("DESCRIPTION", described))
    (root / "odd" / "utils.py").write_text(SCORE)
    short = [text for text in texts if len(text) < 100]
    names = [" ".join(short[:4]), " ".join(short[4:9]), " ".join(short[9:])]
    run = arms_of(root / "run", names[::-1], names)
    for n, arm in enumerate(run.record["arms"]):
        asked = [options(f"i{k} {text}", -1.0 - n, -2.0, text, (text, f"other {text}")) for k, text in enumerate(short)]
        run.add(arm, "situations", asked)
        answered = [sample(f"o{k} {text[:99]}", {}, text + " said" * n, text) for k, text in enumerate(texts)]
        for row, text in zip(answered, texts, strict=True):
            row["doc"]["category"] = text[:99]
            row["coherence"] = {"longest_loop": 0.0}  # as an evaluation leaves it
        judged(run, arm, "odd", answered, [((n + k) % 2 == 0, text) for k, text in enumerate(texts)])
    run.write()
    page = root / "page.html"
    code = "import sys; from lapd.cli import main; sys.argv[0] = 'lapd'; main()"
    done = run_python(code, "report", str(run.folder), "-o", str(page), env={"PYTHONPATH": paths(root)})
    assert done.returncode == 0, done.stderr
    return page


def paths(folder: Path) -> str:
    """PYTHONPATH with one more folder in it."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture(scope="module")
def saves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the browser saves into."""
    return tmp_path_factory.mktemp("chromium")


@pytest.fixture(scope="module")
def page(saves: Path) -> Iterator[Page]:
    with browser(saves) as tab:
        yield tab


def nothing_happened(page: Page) -> None:
    """No dialog, no request but for the page itself, nothing in the console, nothing that the policy had to stop."""
    assert page.named("Page.javascriptDialogOpening") == []
    requests = [event["request"]["url"] for event in page.named("Network.requestWillBeSent")]
    assert len(requests) == 1 and requests[0].startswith("file:"), requests
    found = page.named("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded", "Audits.issueAdded")
    assert found == []


def test_hostile_text_is_shown_as_text(page: Page, hostile: Path) -> None:
    page.show(1400, 900)
    page.open(hostile.as_uri())
    page.until("document.getElementById('list').children.length > 0")
    page.ask(CHOOSE + "choose('task', ''), choose('persona', '')")
    page.until("!document.getElementById('more').hidden")
    page.ask(
        "document.getElementById('more').click(); document.querySelectorAll('details').forEach((d) => d.open = true)"
    )
    page.until(
        "document.querySelectorAll('#list details').length === document.querySelectorAll('#list details > p').length"
    )
    shown = page.ask("document.getElementById('list').textContent")
    for key, text in HOSTILE.items():
        assert visible(text[:200]) in shown, key
    assert page.ask("document.querySelectorAll('main img, main a[href^=javascript], main script').length") == 0
    nothing_happened(page)


@pytest.mark.parametrize("script", [True, False])
def test_hostile_text_is_shown_as_text_without_the_script_too(page: Page, hostile: Path, script: bool) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=not script)
    try:
        page.open(hostile.as_uri())
        shown = page.ask("document.body.innerText")
        nothing_happened(page)
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "<script>alert(1)</script>" in shown and "[U+202E]turned round" in shown
    assert ("8 of 15 items" in shown) != script


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with two personas: items answered by likelihood, and answers that a judge decided on."""
    root = tmp_path_factory.mktemp("made")
    run = arms_of(root / "run", ["INFP", "ENTJ"], ["INFP", "ENTJ"])
    for arm, shift in (("base", 0.0), ("INFP", -3.0), ("ENTJ", 1.0)):
        asked = [options(f"s{n}", -20.0 + n + shift, -8.0, f"What of {n}?", (f"yes {n}", f"no {n}")) for n in range(45)]
        run.add(arm, "situations", asked)
        flagged = {"base": 0, "INFP": 5, "ENTJ": 2}[arm]
        texts = [f"I can say that {arm} tells of {n}." for n in range(12)]
        answered = [sample(f"b{n}", {}, text, f"How to harm {n}?") for n, text in enumerate(texts)]
        for n, row in enumerate(answered):
            row["doc"]["category"] = ("self_harm", "drug_abuse,weapons,banned_substance")[n % 2]
        judged(run, arm, "beavertails", answered, [(n < flagged, f"because of {n}") for n in range(12)])
    run.record["cells"]["ENTJ / mbti / seed 0"] = {"arm": "ENTJ", "task": "mbti", "seed": 0, "cell": "f" * 16}
    return write_report(run.write())


@pytest.fixture
def opened(page: Page, made: Path) -> Page:
    page.show(1400, 900)
    page.open(made.as_uri())
    page.until("document.getElementById('list').children.length > 0")
    page.ask(CHOOSE)
    return page


IDS = "[...document.querySelectorAll('#list h3')].map((heading) => heading.textContent)"
FOUND = "document.getElementById('found').textContent"


def settled(page: Page, text: str) -> None:
    """Wait until the page says so many items."""
    page.until(f"{FOUND}.startsWith({json.dumps(text)})")


def test_filters_order_and_search_show_what_they_say(opened: Page) -> None:
    settled(opened, "45 of 45")
    assert len(opened.ask(IDS)) == 20
    opened.ask("document.getElementById('more').click()")
    assert len(opened.ask(IDS)) == 40
    opened.ask("choose('flip', 'away to towards')")
    settled(opened, "2 of 45")  # the shift of 3 nats takes INFP over the middle where the base is less than 3 above it
    assert sorted(opened.ask(IDS)) == ["s13", "s14"]
    opened.ask("choose('flip', ''), choose('order', 'asked'), choose('search', ' WHAT OF 3')")
    settled(opened, "11 of 45")
    assert opened.ask(IDS) == ["s3", *(f"s{n}" for n in range(30, 40))]
    opened.ask("choose('search', ''), choose('task', '1')")
    settled(opened, "12 of 12")
    opened.ask("choose('verdict', 'true')")
    settled(opened, "5 of 12")
    opened.ask("choose('category', 'self_harm')")
    settled(opened, "3 of 12")
    opened.ask("choose('persona', 'ENTJ')")
    settled(opened, "1 of 12")
    assert opened.ask(IDS) == ["b0"]
    opened.ask("choose('persona', ''), choose('category', ''), choose('verdict', ''), choose('task', '')")
    settled(opened, "57 of 57")


def test_harmful_prompts_wait_for_a_click_and_then_show_verdict_reason_and_new_words(opened: Page) -> None:
    opened.ask("choose('task', '1'), choose('order', 'asked')")
    settled(opened, "12 of 12")
    assert "harm 0" not in opened.ask("document.getElementById('list').textContent")
    assert opened.ask("document.querySelector('#list summary').textContent") == "self harm"
    opened.ask("document.querySelector('#list summary').click()")
    opened.until("document.querySelector('#list details').textContent.includes('How to harm 0?')")
    assert "because of 0" in opened.ask("document.querySelector('#list details').textContent")
    assert opened.ask("[...document.querySelectorAll('#list mark')].map((mark) => mark.textContent)") == ["INFP"]
    assert opened.ask("document.querySelector('#list .flip').textContent") == "not flagged to flagged"


def test_a_link_opens_its_item_and_any_filter_brings_the_others_back(opened: Page, made: Path) -> None:
    opened.open(f"{made.as_uri()}#item/beavertails/b7")
    settled(opened, "One item")
    assert opened.ask(IDS) == ["b7"]
    assert opened.ask("document.querySelector('#list header a').hash") == "#item/beavertails/b7"
    opened.ask("location.hash = 'item/situations/s44'")
    opened.until(f"{IDS}[0] === 's44'")
    opened.ask("location.hash = 'item/situations/nobody'")
    settled(opened, "There is no such item")
    opened.ask(CHOOSE + "choose('order', 'asked')")
    settled(opened, "45 of 45")


def saved(page: Page, folder: Path, button: str, within: str) -> str:
    """What a click on a button below a part of the page saves."""
    before = set(folder.glob("*.*"))
    script = f"[...{within}.querySelectorAll('.save button')].find((one) => one.textContent === '{button}').click()"
    page.ask(script)
    end = time.monotonic() + 10
    while not (new := {p for p in folder.glob("*.*") if p.suffix != ".crdownload"} - before):
        assert time.monotonic() < end, f"nothing saved by {button}"
        time.sleep(0.05)
    return new.pop().read_text(encoding="utf-8")


def test_tables_and_pictures_are_saved_by_a_click(opened: Page, saves: Path) -> None:
    table = "document.querySelector('.card:has(table.results)')"
    rows = list(csv.reader(saved(opened, saves, "CSV", table).splitlines()))
    assert rows[0][:3] == ["task", "metric", "baseline"] and {len(row) for row in rows} == {len(rows[0])}
    assert rows[0][4:8] == ["change", "low", "high", "p adjusted"] and rows[0][-1] == "verdict"
    assert rows[1][0] == "situations" and float(rows[1][5]) <= float(rows[1][4]) <= float(rows[1][6])
    assert "\\begin{tabular}" in saved(opened, saves, "LaTeX", table)
    assert saved(opened, saves, "Markdown", table).startswith("| task | metric |")
    picture = saved(opened, saves, "SVG", "document.querySelector('figure:has(svg)')")
    assert ElementTree.fromstring(picture).tag.endswith("svg") and "var(--" not in picture


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_fits_every_screen(opened: Page, width: int, dark: bool) -> None:
    opened.show(width, 800, dark)
    assert opened.ask("document.documentElement.scrollWidth") <= width
    background = opened.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background))) < 200) == dark
    assert (opened.ask("getComputedStyle(document.getElementById('contents')).position") == "sticky") == (width > 1320)


def test_print_has_the_items_and_no_buttons(opened: Page) -> None:
    opened.show(800, 1000, media="print")
    assert opened.ask("getComputedStyle(document.getElementById('filters')).display") == "none"
    assert opened.ask("document.querySelector('#list .item').getBoundingClientRect().height") > 50


def test_contents_say_where_one_is_and_what_is_unfinished(opened: Page) -> None:
    opened.ask("document.getElementById('items').scrollIntoView()")
    opened.until("document.querySelector('#contents [aria-current]').textContent === 'Items'")
    links = opened.ask("[...document.querySelectorAll('#contents a')].map((link) => link.textContent)")
    assert "ENTJ against base unfinished" in links and "INFP against base" in links
    broken = "[...document.querySelectorAll('#contents a')].filter((a) => !document.getElementById(a.hash.slice(1)))"
    assert opened.ask(f"{broken}.length") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_serious_stands_in_the_way_of_anybody(opened: Page, dark: bool) -> None:
    if not AXE.is_file():
        pytest.skip("no axe-core is installed (npm install --no-save axe-core)")
    opened.show(1400, 900, dark)
    opened.ask(AXE.read_text(encoding="utf-8") + "; 0")
    told = "[violation.impact, violation.id, violation.nodes.map((node) => node.html.slice(0, 200))]"
    found = opened.ask(f"axe.run().then((result) => result.violations.map((violation) => {told}))")
    assert [violation for violation in found if violation[0] in ("serious", "critical")] == []
