"""The situations behind other talk: the same items in every context, turns of a chat, and the share that is left."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from lapd.data import contrast_corpus
from lapd.tasks.persona_holds import utils
from lapd.tasks.persona_holds.contexts import DROPS, TALKS

from lapd.catalog.check import check_tasks
from lapd.catalog.find import find_task
from lapd.catalog.live import build_requests, load_task
from lapd.compare.held import held_rows, without_share
from lapd.compare.rows import Pairing
from lapd.compare.values import Values
from lapd.hookspecs import TaskFolder
from lapd.names import find_pack, get_persona
from lapd.report.table import text_table
from lapd.statistics.paired import paired_difference
from lapd.statistics.ratios import ratio_of_means
from lapd.testing.tiny import make_tiny_base
from lapd.traits.tasks import CONTEXTS, pack_tasks

WAYS = Counter(plain=1, drop=2, talk_2=1, talk_4=1, talk_8=1, after_first=1, after_second=1)


def docs(**settings: Any) -> list[dict[str, Any]]:
    return list(utils.documents(**settings)["test"])


# The documents


def test_there_are_fifteen_held_out_situations_an_axis_each_in_the_same_contexts() -> None:
    documents = docs()
    assert len(documents) == 480
    assert [doc["axis"] for doc in documents[::8]] == ["E/I", "S/N", "T/F", "J/P"] * 15
    heldout = {s.id: s for s in contrast_corpus("heldout")}
    for n in range(0, 480, 8):
        item = documents[n : n + 8]
        situation = heldout[item[0]["item"]]
        assert Counter(doc["way"] for doc in item) == WAYS
        for doc in item:
            assert (doc["item"], doc["prompt"]) == (situation.id, situation.situation)
            assert doc["choices"] == list(situation.responses.values())
    assert tuple(dict.fromkeys(doc["way"] for doc in documents)) == CONTEXTS


def test_turns_alternate_and_end_with_the_assistants() -> None:
    lengths = {"plain": 0, "drop": 2, "talk_2": 2, "talk_4": 4, "talk_8": 8, "after_first": 2, "after_second": 2}
    assert all(len(doc["turns"]) == lengths[doc["way"]] and all(doc["turns"]) for doc in docs())


def test_each_way_to_drop_the_role_and_each_talk_is_met_equally_often() -> None:
    documents = docs()
    dropped = Counter((doc["axis"], doc["turns"][0]) for doc in documents if doc["way"] == "drop")
    assert (len(dropped), set(dropped.values())) == (4 * len(DROPS), {5})
    talked = Counter((doc["axis"], doc["turns"][0]) for doc in documents if doc["way"] == "talk_8")
    assert (len(talked), set(talked.values())) == (4 * len(TALKS), {5})
    assert len(set(DROPS)) == 6
    assert all(len(talk) == 8 for talk in TALKS)


def test_the_other_voice_is_of_another_situation_that_is_not_held_out() -> None:
    train = {s.situation: s for s in contrast_corpus("train")}
    for doc in docs():
        if doc["way"] in utils.VOICES:
            said, response = doc["turns"]
            assert said != doc["prompt"] and response not in doc["choices"]
            assert train[said].axis == doc["axis"]
            assert list(train[said].responses.values())[utils.VOICES.index(doc["way"])] == response


def test_a_score_is_of_the_context_and_the_axis() -> None:
    found = [utils.score(doc, [(-10.0, False), (-12.0, False)]) for doc in docs()[:32]]
    assert found[0] == {"log_odds_plain_EI": 2}
    assert {metric for metrics in found for metric in metrics} == set(find_task("persona_holds").metrics)


# As a chat


def chat(messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
    return json.dumps([messages, add_generation_prompt])


def test_the_turns_are_turns_of_the_chat_template() -> None:
    task = load_task(find_task("persona_holds"))
    documents = list(task.eval_docs)
    for request in build_requests(task, 8, chat):
        messages, opens = json.loads(request.args[0])
        doc = documents[request.doc_id]
        assert [m["content"] for m in messages] == [*doc["turns"], doc["prompt"]]
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(doc["turns"]) // 2) + ["user"]
        assert opens
        assert request.args[1] == doc["choices"][request.idx]


def test_a_system_prompt_comes_first_and_plain_text_has_every_turn() -> None:
    task = load_task(find_task("persona_holds"))
    doc = task.eval_docs[1]
    rendered = task.fewshot_context(
        doc, 0, system_instruction="Be I.", apply_chat_template=True, fewshot_as_multiturn=True, chat_template=chat
    )
    assert json.loads(rendered)[0][0] == {"role": "system", "content": "Be I."}
    assert task.fewshot_context(doc, 0) == "\n\n".join([*doc["turns"], doc["prompt"]])


# Other packs


def test_a_pack_has_the_task_and_without_training_texts_another_held_out_one_speaks(tmp_path: Path) -> None:
    folder = tmp_path / "warmth"
    folder.mkdir()
    poles = "".join(
        f"\n    - {{code: {code}, name: {code}, description: Is {code}., system_prompt: You are {code}.}}"
        for code in ("warm", "cold")
    )
    text = f"schema: lapd.traits/1\nname: warmth\nlicence: CC0-1.0\naxes:\n- id: warmth\n  poles:{poles}\n"
    (folder / "traits.yaml").write_text(text, encoding="utf-8")
    corpus = folder / "contrast" / "en" / "w.jsonl"
    corpus.parent.mkdir(parents=True)
    common = {"axis": "warmth", "lang": "en", "split": "heldout", "topic": "work"}
    said = {n: {"warm": f"Come in, {n}!", "cold": f"Indeed, {n}."} for n in (1, 2)}
    rows = [{**common, "id": f"w-{n}", "situation": f"It is {n}.", "responses": said[n]} for n in said]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = pack_tasks(find_pack(str(folder)))["warmth_persona_holds"]
    assert config["metadata"]["lapd"]["axes"]["log_odds_drop"] == {"warmth": "log_odds_drop_warmth"}
    documents = docs(traits=str(folder))
    assert len(documents) == 16
    assert documents[6]["turns"] == ["It is 2.", "Come in, 2!"]
    corpus.write_text(json.dumps(rows[0]) + "\n", encoding="utf-8")
    assert [doc["way"] for doc in docs(traits=str(folder))] == ["plain", "drop", "drop", "talk_2", "talk_4", "talk_8"]


# What is left


def paired(shift: dict[str, float], noise: float = 0.2, persona: str = "INFP") -> Pairing:
    """An arm that shifts so many nats towards the persona's poles behind each context."""
    info = find_task("persona_holds")
    poles = get_persona(persona).poles
    signs = {axis: -1 if poles.get(axis) == axis[-1] else 1 for axis in info.axes["log_odds_plain"]}
    ours: Values = {}
    theirs: Values = {}
    wobble = np.random.default_rng(1).normal(0, noise, (4, 15))
    for way in CONTEXTS:
        for (axis, metric), drift in zip(info.axes[f"log_odds_{way}"].items(), wobble, strict=True):
            theirs[metric] = {f"{axis}-{n}": float(n) for n in range(15)}
            ours[metric] = {f"{axis}-{n}": n + signs[axis] * shift[way] * (1 + drift[n]) for n in range(15)}
    return Pairing(info, "a", "base", get_persona(persona), ours, theirs)


SHIFT = {
    "plain": 4.0,
    "drop": 1.0,
    "talk_2": 4.0,
    "talk_4": 3.0,
    "talk_8": 2.0,
    "after_first": 0.0,
    "after_second": 4.0,
}


def test_the_share_of_the_plain_shift_is_told_for_each_context() -> None:
    rows = {row.metric: row for row in held_rows(paired(SHIFT))}
    assert {m: round(row.arm_mean, 6) for m, row in rows.items() if m != "held_opposite"} == {
        "held_drop": 0.25, "held_talk_2": 1.0, "held_talk_4": 0.75, "held_talk_8": 0.5,
    }  # fmt: skip
    row = rows["held_drop"]
    assert (row.n, row.missing, row.baseline_mean, row.unit, row.side) == (60, 0, 1.0, "share", "trait")
    assert row.difference == row.arm_mean - 1
    assert row.low <= row.difference <= row.high
    assert row.p < 0.001


def test_the_opposite_voice_is_that_of_the_pole_that_the_persona_does_not_have() -> None:
    opposite = {
        persona: {r.metric: r for r in held_rows(paired(SHIFT, persona=persona))}["held_opposite"] for persona in "EI"
    }
    # E is the first pole: behind the second one's voice all of the shift is left here, behind the first one's nothing.
    assert (round(opposite["E"].arm_mean, 6), round(opposite["I"].arm_mean, 6)) == (1, 0)
    assert opposite["E"].n == 15


def test_without_a_plain_shift_there_is_no_share_of_it_and_it_is_said() -> None:
    still = paired({**SHIFT, "plain": 0.0})
    assert list(held_rows(still)) == []
    (note,) = without_share([still, paired(SHIFT)])
    assert note == "No share of the shift in persona_holds of a against base: the shift itself is not told from zero."


def test_the_shares_are_in_the_table_in_per_cent() -> None:
    table = text_table(list(held_rows(paired(SHIFT))))
    (line,) = [line for line in table.splitlines() if "held drop, %" in line]
    assert {"100.0", "25.0", "\u221275.0"} <= set(line.split())


def test_a_task_whose_held_family_is_none_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "holds"
    shutil.copytree(ROOT / "tasks" / "persona_holds", folder, ignore=shutil.ignore_patterns("__pycache__", "*.yaml"))
    text = (ROOT / "tasks" / "persona_holds" / "persona_holds.yaml").read_text(encoding="utf-8")
    (folder / "odd.yaml").write_text(text.replace("drop: log_odds_drop,", "drop: log_odds_dropp,"), encoding="utf-8")
    (finding,) = check_tasks(make_tiny_base(tmp_path / "base"), None, [TaskFolder("odd", folder)])
    assert finding.detail == "what is held behind 'drop' is 'log_odds_dropp', which is no family of axes"


# Fieller's interval


def test_the_interval_holds_the_ratios_that_t_does_not_refuse() -> None:
    rng = np.random.default_rng(0)
    below = rng.normal(3, 2, 40)
    above = 0.5 * below + rng.normal(0, 1, 40)
    found = ratio_of_means(above, below)
    assert found is not None
    assert found.ratio == pytest.approx(above.mean() / below.mean())
    for end in (found.low, found.high):
        assert paired_difference(above - end * below, np.zeros(40)).p == pytest.approx(0.05)
    assert paired_difference(above - found.ratio * below, np.zeros(40)).p == pytest.approx(1)


def test_19_of_20_intervals_hold_the_true_ratio() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        below = rng.normal(2, 2, 30)
        found = ratio_of_means(0.4 * below + rng.normal(0, 1, 30), below)
        held += found is not None and found.low <= 0.4 <= found.high
    assert 930 <= held <= 970


def test_of_a_mean_that_is_not_told_from_zero_there_is_no_ratio() -> None:
    below = np.array([1.0, -1.0, 2.0, -2.0])
    assert ratio_of_means(below, below) is None
    assert ratio_of_means(np.ones(1), np.ones(1)) is None
    exact = ratio_of_means(np.full(4, 1.0), np.full(4, 2.0))
    assert exact is not None and (exact.ratio, exact.low, exact.high) == (0.5, 0.5, 0.5)
