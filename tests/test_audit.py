"""`lapd audit`, from an adapter to its verdicts, on a tiny model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lapd.audit.audit as audit
from lapd.audit.speed import speed_of
from lapd.catalog.find import tasks
from lapd.cli import cli
from lapd.record.reading import read_cells
from lapd.testing.tiny import make_tiny_adapter, make_tiny_base

FEW = ("situations", "knowledge_mini")
"""What these audits ask: the whole bundle takes the tiny model half a minute."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny base and its INFP."""
    folder = tmp_path_factory.mktemp("audit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPD_CACHE", str(folder / "cache"))
        patch.setattr(audit, "bundle", lambda *_: [tasks()[name] for name in FEW])
        make_tiny_adapter(make_tiny_base(folder / "base"), folder / "INFP")
        yield folder


def call(place: Path, *args: object) -> Result:
    words = ["audit", place / "INFP", "-o", place / "run", "--minutes", "3", *args]
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="lapd")


@pytest.fixture(scope="module")
def done(place: Path) -> dict[str, Any]:
    """What a whole audit prints as JSON."""
    result = call(place, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_plan_says_what_would_be_measured_and_writes_no_run(place: Path) -> None:
    result = call(place, "--plan", "-o", place / "planned")
    assert result.exit_code == 0, result.output
    assert "INFP against" in result.stdout
    assert "situations" in result.stdout and "would show" in result.stdout
    assert not (place / "planned").exists()


def test_every_task_has_a_verdict_and_what_was_planned_stands_beside_what_it_took(done: dict[str, Any]) -> None:
    assert [(one["task"], one["side"]) for one in done["verdicts"]] == [
        ("situations", "trait"),
        ("knowledge_mini", "cost"),
    ]
    assert {one["verdict"] for one in done["verdicts"]} <= {"changed", "no change", "cannot tell"}
    assert all(one["low"] <= one["difference"] <= one["high"] for one in done["verdicts"])
    assert done["planned_s"] <= 180
    assert 0 < done["took_s"] < 180
    assert done["sentences"].keys() == {"INFP"}
    assert any("no control adapter" in line for line in done["not_seen"])
    assert any("one training run" in line for line in done["not_seen"])


def test_the_page_says_on_its_first_screen_what_could_not_be_seen(done: dict[str, Any]) -> None:
    page = Path(done["report"]).read_text()
    head = page[: page.index("</header>")]
    assert "no shuffled control" in head
    assert "one training" in head


def test_the_same_audit_again_asks_nothing_and_changes_nothing(place: Path, done: dict[str, Any]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (place / "run").rglob("*") if path.suffix}
    again = json.loads(call(place, "--json").stdout)
    assert again == done
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_was_stopped_goes_on_by_the_plan_that_it_began_with(place: Path, done: dict[str, Any]) -> None:
    lost = read_cells(place / "run")[-1].entry["cell"]
    (place / "run" / "cells" / lost / "result.json").unlink()
    again = json.loads(call(place, "--json").stdout)
    assert again["plan"] == done["plan"]
    assert again["verdicts"] == done["verdicts"]
    assert again["took_s"] >= done["took_s"]


def test_in_words_it_ends_with_verdicts_limits_and_the_page(place: Path, done: dict[str, Any]) -> None:
    told = call(place).stdout
    assert told.index("INFP: The model") < told.index("INFP against base, counted towards INFP")
    assert told.index("counted towards INFP") < told.index("What this audit could not see:")
    assert told.rstrip().endswith(f"Report: {place / 'run' / 'report.html'}")


@pytest.mark.parametrize(("condition", "code"), [("any:cannot-tell", None), ("cost:lost", 0)])
def test_fail_on_sets_the_exit_code(place: Path, done: dict[str, Any], condition: str, code: int | None) -> None:
    met = any(one["verdict"] not in ("changed", "no change") for one in done["verdicts"])
    result = call(place, "--fail-on", condition, "--json")
    assert result.exit_code == (int(met) if code is None else code)
    assert json.loads(result.stdout)["failed_on"] == ([condition] if result.exit_code else [])


def test_a_wrong_condition_ends_before_anything_is_measured(tmp_path: Path, invoke: Callable[..., Result]) -> None:
    result = invoke("audit", tmp_path / "nowhere", "--fail-on", "pressure:broken")
    assert result.exit_code == 2
    assert "there is no verdict 'broken'" in result.output


def test_a_base_without_a_chat_template_is_refused(place: Path, tmp_path: Path, invoke: Callable[..., Result]) -> None:
    mute = make_tiny_base(tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    config = json.loads((mute / "tokenizer_config.json").read_text())
    (mute / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "chat_template"}))
    result = invoke("audit", place / "INFP", "--base", mute, "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert "has no chat template" in result.output
    assert not (tmp_path / "run").exists()


def test_the_speed_is_measured_once_an_hour(place: Path, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import lapd.audit.speed as speed

    (known,) = (place / "cache" / "speed").glob("*.json")
    record = json.loads(known.read_text())
    monkeypatch.setattr(speed, "_key", lambda *_: known.stem)
    assert speed_of([], {}, 1.0, None).load == record["load"]
    assert record["base"].keys() == set(FEW)
    assert all(pace["document"] > 0 for pace in record["subject"].values())


def test_a_time_that_cannot_be_read_is_measured_anew(
    place: Path, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import lapd.audit.speed as speed

    (known,) = (place / "cache" / "speed").glob("*.json")
    whole, fresh = known.read_text(), speed.Speed(3.0, {}, {})
    monkeypatch.setattr(speed, "_key", lambda *_: known.stem)
    monkeypatch.setattr(speed, "_measured", lambda *_: fresh)
    for text in (whole[:-9], "[]", json.dumps({**json.loads(whole), "base": 3})):
        known.write_text(text)
        assert speed_of([], {}, 1.0, None).load == fresh.load
        assert json.loads(known.read_text())["load"] == fresh.load
    known.write_text(whole)


@pytest.mark.parametrize("broken", ['{"schema": "lapd.audit/1"}', '{"schema": "lapd.audit/1", "of": 1, "plan": {}}'])
def test_a_record_that_holds_no_plan_is_named_and_nothing_is_lost(
    place: Path, done: dict[str, Any], broken: str
) -> None:
    record = place / "run" / "audit.json"
    whole = record.read_text()
    record.write_text(broken)
    result = call(place)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: {record}: this is no record of an audit.")
    assert record.read_text() == broken
    record.write_text(whole)
    assert json.loads(call(place, "--json").stdout)["verdicts"] == done["verdicts"]
