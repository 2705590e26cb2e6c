"""Whether arms may be compared: one date a run, the same prompts but for the system prompt, versions that are said."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from lora import make_lora
from odd_tasks import CHOICE, evaluate, register, write_tasks

from lapd.adapters.adapter import resolve_adapter
from lapd.compare.comparisons import as_json, compare
from lapd.errors import StoreError
from lapd.evaluate.plan import make_arms
from lapd.experiment.reproduce import reproduce
from lapd.models.base import BaseModel, resolve_base
from lapd.record import store as store_module
from lapd.record.cells import Arm
from lapd.record.likeness import differs_only_in_system_prompt
from lapd.record.store import Store
from lapd.report.page import write_report
from lapd.testing.tiny import make_tiny_base

DATED = """
{%- set ns = namespace(system='') %}
{%- if messages[0].role == 'system' %}{% set ns.system = messages[0].content | trim %}{% endif %}
{{- '<|im_start|>system\\nToday Date: ' + strftime_now('%d %b %Y') + '\\n\\n' + ns.system + '<|im_end|>\\n' }}
{%- for m in messages if m.role != 'system' %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A tiny base whose chat template writes the date."""
    folder = make_tiny_base(tmp_path_factory.mktemp("dated"))
    (folder / "chat_template.jinja").write_text(DATED)
    return resolve_base(str(folder))


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory, dated: BaseModel) -> list[Arm]:
    """The base without and with a prompt, and an adapter without and with it."""
    return make_arms([resolve_adapter(make_lora(tmp_path_factory.mktemp("adapters") / "INFP", dated, 1))])


def on(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    """Make it another day, for LAPD and for transformers' templates."""
    from transformers.utils import chat_template_utils

    there = datetime.datetime.fromisoformat(day)

    class Moment(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime.datetime:
            return there

    class Day(datetime.date):
        @classmethod
        def today(cls) -> datetime.date:
            return there.date()

    monkeypatch.setattr(chat_template_utils, "datetime", Moment)
    monkeypatch.setattr(store_module, "date", Day)


def prompts_in(store: Store) -> list[str]:
    return [args[0] for e in store.finished() for sample in store.samples(e["cell"]) for args in sample["arguments"]]


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a task of six questions."""
    register(monkeypatch, write_tasks(tmp_path / "tasks", plain=CHOICE))
    return "plain"


def test_the_date_of_a_chat_template_is_that_of_the_runs_first_day(
    dated: BaseModel, arms: Sequence[Arm], plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, "2026-03-01")
    evaluate(dated, tmp_path / "run", [plain], arms[:1])
    on(monkeypatch, "2026-03-04")
    store = evaluate(dated, tmp_path / "run", [plain], arms)
    assert len(prompts_in(store)) == 4 * 6 * 2
    assert all("Today Date: 01 Mar 2026\n" in prompt for prompt in prompts_in(store))
    assert store.run()["date"] == "2026-03-01"
    assert {store.result(e["cell"])["inputs"]["date"] for e in store.finished()} == {"2026-03-01"}
    assert len({(r.arm, r.baseline) for r in compare(store.folder).rows}) == 3
    on(monkeypatch, "2026-03-09")
    cell = store.cell_folder(store.finished()[0]["cell"])
    assert reproduce(cell)[0].identical
    other = evaluate(dated, tmp_path / "other", [plain], arms[:1])
    assert all("Today Date: 09 Mar 2026\n" in prompt for prompt in prompts_in(other))


def test_a_finished_run_of_an_older_lapd_is_left_as_it_is(
    dated: BaseModel, arms: Sequence[Arm], plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, "2026-03-01")
    store = evaluate(dated, tmp_path / "run", [plain], arms[:1])
    record = store.run()
    del record["date"]
    (store.folder / "run.json").write_text(json.dumps(record))
    before = (store.folder / "run.json").read_bytes()
    on(monkeypatch, "2026-03-04")
    evaluate(dated, tmp_path / "run", [plain], arms[:1])
    assert (store.folder / "run.json").read_bytes() == before
    result = store.cell_folder(store.finished()[0]["cell"]) / "result.json"
    made = json.loads(result.read_text())
    made["provenance"]["started"] = "2026-03-02T01:00:00Z"
    result.write_text(json.dumps(made))
    evaluate(dated, tmp_path / "run", [plain], arms)  # what goes on goes on with the day on which it was begun
    assert store.run()["date"] == "2026-03-02"


def change(store: Store, arm: str, file: str, old: str, new: str) -> None:
    """Change a text in a file of an arm's cell."""
    (entry,) = [entry for entry in store.finished() if entry["arm"] == arm]
    path = store.cell_folder(entry["cell"]) / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("arm", ["base", "base+prompt(INFP)", "INFP", "INFP+prompt(INFP)"])
def test_arms_that_were_told_another_date_are_not_compared(
    dated: BaseModel, arms: Sequence[Arm], plain: str, tmp_path: Path, arm: str
) -> None:
    store = evaluate(dated, tmp_path / "run", [plain], arms)
    compare(store.folder)
    change(store, arm, "samples.jsonl", "Today Date: ", "Today Date: 1")
    with pytest.raises(
        StoreError, match=r"were asked differently on plain \(item a0: .*in more than the system prompt"
    ):
        compare(store.folder)


def test_another_version_is_said_wherever_it_may_have_changed_something(
    dated: BaseModel, arms: Sequence[Arm], plain: str, tmp_path: Path, invoke: Any
) -> None:
    store = evaluate(dated, tmp_path / "run", [plain], [arms[0], arms[2]])
    assert compare(store.folder).warnings == []
    made = store.result(store.finished()[0]["cell"])["provenance"]
    change(store, "base", "result.json", f'"torch": "{made["torch"]}"', f'"torch": "{made["torch"]}.post1"')
    assert compare(store.folder).warnings == []  # a patch release changes nothing
    change(store, "base", "result.json", f'"lm-eval": "{made["lm-eval"]}"', '"lm-eval": "0.4.0"')
    change(store, "base", "result.json", '"task_version": "1.0"', '"task_version": "0.9"')
    compared = compare(store.folder)
    lm_eval = {"arm": made["lm-eval"], "baseline": "0.4.0"}
    assert compared.rows[0].versions == {"lm-eval": lm_eval, "task": {"arm": "1.0", "baseline": "0.9"}}
    assert as_json(compared.rows)[0]["versions"]["lm-eval"] == lm_eval
    shown: Result = invoke("compare", store.folder)
    said = f"INFP was made with lm-eval {made['lm-eval']}, base with lm-eval 0.4.0 (plain)."
    assert f"Warning: {said}" in shown.stderr
    assert "INFP was made with version 1.0 of the task, base with 0.9 (plain)." in shown.stderr
    assert json.loads(invoke("compare", store.folder, "--json").stdout)[0]["versions"]["lm-eval"] == lm_eval
    assert said in write_report(store.folder).read_text()


TURN = "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\nWhat?<|im_end|>\n"
USER = "<|im_start|>user\nWhat?<|im_end|>\n"
P = "You are quiet.\nYou listen."


@pytest.mark.parametrize(
    ("ours", "theirs", "alike"),
    [
        (TURN.format(P), USER, True),  # the turn is left out
        (TURN.format(P), TURN.format("You are a helpful assistant."), True),  # a default in its place
        (TURN.format(P), TURN.format("You are quite another."), True),  # which begins alike
        (TURN.format(P), TURN.format(""), True),
        (TURN.format(f"Date: 1\n\n{P}"), TURN.format("Date: 1\n\n"), True),
        (TURN.format(f"Date: 1\n\n{P}"), TURN.format("Date: 2\n\n"), False),
        (TURN.format(f"Date: 1\n\n{P}"), TURN.format("Date: 2\n\nYou are a helpful assistant."), False),
        (TURN.format(f"{P}\nDate: 1"), TURN.format("Default.\nDate: 2"), False),
        (USER.replace("What?", f"{P}\n\nWhat?"), USER, True),  # put before the user's words
        (TURN.format(P), USER.replace("What", "When"), False),
        (TURN.format(P), TURN.format("Default.").replace("What", "When"), False),
        (TURN.format(P) + "<|im_start|>assistant\n", USER, False),
        (f"{P}\n\nQuestion: What?", "Question: What?", True),  # no chat template at all
        (json.dumps([{"role": "system", "content": P}, {"role": "user", "content": "What?"}]),
         json.dumps([{"role": "user", "content": "What?"}]), True),
        (json.dumps([{"role": "system", "content": P}, {"role": "user", "content": "When?"}]),
         json.dumps([{"role": "user", "content": "What?"}]), False),
    ],
)  # fmt: skip
def test_prompts_may_differ_in_the_system_prompt_alone(ours: str, theirs: str, alike: bool) -> None:
    assert differs_only_in_system_prompt(ours, theirs, P, None) is alike
    assert differs_only_in_system_prompt(theirs, ours, None, P) is alike
    assert differs_only_in_system_prompt(ours, ours, P, P)
    assert not differs_only_in_system_prompt(ours, theirs, P, P)


def test_two_system_prompts_are_told_from_what_is_around_them() -> None:
    assert differs_only_in_system_prompt(TURN.format("One."), TURN.format("Two."), "One.", "Two.")
    assert not differs_only_in_system_prompt(TURN.format("A One."), TURN.format("B Two."), "One.", "Two.")
