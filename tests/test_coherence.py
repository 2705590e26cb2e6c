"""What written answers are like: measured in every cell that writes, beside the task's own metrics, and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from odd_tasks import CHOICE, WRITTEN, evaluate, only_result, only_samples, register, write_tasks

from lapd.adapters.adapter import resolve_adapter
from lapd.answering.coherence import measured
from lapd.compare.comparisons import compare, compare_run
from lapd.models.base import BaseModel, resolve_base
from lapd.record.cells import Arm
from lapd.record.coherence import UNITS, coherence_names, of_answer, over_answers, with_coherence, words_of
from lapd.testing.tiny import make_tiny_adapter, make_tiny_base

OF_TEXT = {"repeated_4grams", "longest_loop", "distinct_2", "words"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("tiny"))))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'm so sorry.", ["im", "so", "sorry", "."]),
        ("Well-known: \u201cAh\u201d \u2014 3.5", ["well", "-", "known", ":", "“", "ah", "”", "—", "3", ".", "5"]),
        ("!!!", ["!", "!", "!"]),
        ("\u6211\u5f88\u62b1\u6b49 ok", ["\u6211", "\u5f88", "\u62b1", "\u6b49", "ok"]),  # no spaces: each letter
        ("\ubbf8\uc548\ud574\uc694 \uc815\ub9d0", ["\ubbf8\uc548\ud574\uc694", "\uc815\ub9d0"]),
        ("\u0928\u092e\u0938\u094d\u0924\u0947 \u0928\u092e", ["\u0928\u092e\u0938\u094d\u0924\u0947", "\u0928\u092e"]),
        (" \n", []),
    ],
)  # fmt: skip
def test_words_are_told_in_any_script(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_an_answer_that_loops_is_told_from_one_that_does_not() -> None:
    loops = of_answer("I hear you. I'm so sorry. I'm so sorry. I'm so sorry. I'm so sorry.", "length")
    # Three times the phrase is said again, and the full stop before it begins the loop.
    plain = of_answer("I hear you, and I would rather stay at home with a book tonight.", "stop")
    assert loops["repeated_4grams"] > 0.4 and loops["longest_loop"] == 13 and loops["cut_off"] == 1
    assert plain == {"repeated_4grams": 0, "longest_loop": 0, "distinct_2": 1, "words": 14, "cut_off": 0}


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", {"cut_off"}),
        ("   ", {"cut_off"}),
        ("<think>On and on and on and on", {"cut_off"}),
        ("Yes", {"cut_off", "longest_loop", "words"}),
        ("No, no", {"cut_off", "longest_loop", "words", "distinct_2"}),
        ("<think>Is it? Is it? Is it?</think> I would go there", {"cut_off", *OF_TEXT}),
    ],
)
def test_what_an_answer_has_no_value_of_is_missing(text: str, known: set[str]) -> None:
    assert set(of_answer(text, "length")) == known
    assert set(of_answer(text)) == known - {"cut_off"}
    assert of_answer(text).get("longest_loop", 0) == 0


def test_a_documents_measures_are_means_over_the_answers_that_have_them() -> None:
    answers = [of_answer(text, reason) for text, reason in (("", "length"), ("a b", "stop"), ("a b c d", "stop"))]
    assert over_answers(answers) == {
        "repeated_4grams": 0, "longest_loop": 0, "distinct_2": 1, "words": 3, "cut_off": pytest.approx(1 / 3),
    }  # fmt: skip


def test_a_cell_that_writes_has_all_measures_and_one_that_chooses_none(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = WRITTEN.replace("max_gen_toks: 4", "max_gen_toks: 12")
    register(monkeypatch, write_tasks(tmp_path / "tasks", writes=longer, chooses=CHOICE))
    assert "coherence" not in only_samples(evaluate(tiny, tmp_path / "chosen", ["chooses"], limit=2))[0]
    store = evaluate(tiny, tmp_path / "run", ["writes"], limit=3)
    result, samples = only_result(store), only_samples(store)
    assert all(set(sample["coherence"]) == set(UNITS) for sample in samples)
    assert [sample["finish_reasons"] for sample in samples] == [[["length"]]] * 3
    assert all(sample["coherence"]["cut_off"] == 1 for sample in samples)
    assert set(result["coherence"]) == set(UNITS) and "unmeasured" not in result
    assert list(samples[0]["metrics"]) == ["exact_match"], "the task's own metrics stay its own"


def test_the_base_without_adapter_says_how_likely_an_answer_is(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lapd.models.loading import load_base

    longer = WRITTEN.replace("max_gen_toks: 4", "max_gen_toks: 8")
    register(monkeypatch, write_tasks(tmp_path / "tasks", writes=longer))
    adapter = make_tiny_adapter(tiny.path, tmp_path / "INFP", lr=0.05)
    store = evaluate(tiny, tmp_path / "run", ["writes"], [Arm(), Arm(adapter)], limit=4)
    model, tokenizer = load_base(tiny)
    found = {}
    for entry in store.finished():
        for sample in store.samples(entry["cell"]):
            prompt, text = sample["arguments"][0][0], sample["responses"][0][0]
            found[entry["arm"], sample["item"]] = text
            context = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            both = tokenizer(prompt + text, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logprobs = model(torch.tensor([both])).logits[0].log_softmax(-1)
            told = [float(logprobs[n - 1, both[n]]) for n in range(len(context), len(both))]
            assert sample["coherence"]["tokens"] == len(told)
            assert sample["coherence"]["base_logprob"] == pytest.approx(sum(told) / len(told), abs=1e-3)
    assert any(found["base", f"a{n}"] != found["INFP", f"a{n}"] for n in range(4)), "the adapter shall say other words"


def test_measures_are_compared_by_item_as_a_family_of_their_own(
    tiny: BaseModel, tmp_path: Path, make_adapter: Callable[..., Path]
) -> None:
    from test_documents import row, write_cell

    from lapd.record.store import Store

    store = Store(tmp_path / "run")
    adapter = resolve_adapter(make_adapter(base_digest=tiny.digest))
    texts = {"base": "I would stay at home and read {n} pages.", "INFP": "I'm so sorry {n}. " + "I'm so sorry. " * 5}
    for arm in (Arm(), Arm(adapter)):
        rows = [{**row(n, words=6.0), "resps": [[texts[arm.name].format(n=n)]]} for n in range(12)]
        write_cell(store, tiny, arm, rows)
    compared = compare(store.folder)
    found = {r.metric: r for r in compared.rows}
    assert set(found) == OF_TEXT, "of an older LAPD's answers, what their text gives"
    loops, own = found["repeated_4grams"], found["words"]
    assert (loops.n, loops.unit, loops.baseline_mean, loops.headline, loops.coherence) == (12, "share", 0, False, True)
    assert loops.arm_mean > 0.5 and loops.q is not None and loops.q < 0.01
    assert (own.headline, own.coherence, own.arm_mean) == (True, False, 6.0), "the task's own words"


def test_a_table_and_a_report_say_how_an_arm_writes(
    tiny: BaseModel, tmp_path: Path, make_adapter: Callable[..., Path]
) -> None:
    from test_documents import row, write_cell

    from lapd.record.store import Store
    from lapd.report.table import text_table

    store = Store(tmp_path / "run")
    for arm, tail in ((Arm(), "and read."), (Arm(resolve_adapter(make_adapter(base_digest=tiny.digest))), "so, " * 9)):
        rows = [{**row(n, words=6.0), "resps": [[f"I would stay in {n} {tail}"]]} for n in range(12)]
        write_cell(store, tiny, arm, rows)
    table = " ".join(text_table(compare_run(store.folder)).split())
    assert "How INFP writes against base: repeated 4-grams in situations_open 0.0 \u2192" in table
    assert "Exploratory: everything else" in table


def test_a_metric_of_the_tasks_own_stands_before_a_measure_of_that_name() -> None:
    samples = [{"metrics": {"words": 3.0}, "coherence": {"words": 4.0, "longest_loop": 0.0}}]
    assert coherence_names(samples) == ["longest_loop"]


def test_likelihoods_have_no_coherence() -> None:
    for responses in ([[[-1.5, True]], [[-2.5, False]]], [[-7.5]], []):
        sample = {"responses": responses, "metrics": {}}
        assert with_coherence(sample) is sample


def test_what_a_server_wrote_lacks_what_needs_weights_with_its_reason() -> None:
    class Server:
        def read(self, pairs: Any) -> None:
            return None

    asked = {"arguments": [["?", {"max_gen_toks": 9}]], "responses": [["One two."]], "finish_reasons": [["stop"]]}
    (sample,), unmeasured = measured([{"metrics": {}, **asked}], Server())
    assert set(sample["coherence"]) == {*OF_TEXT, "cut_off"} - {"repeated_4grams"}
    assert set(unmeasured) == {"tokens", "base_logprob"}
    assert "server" in unmeasured["base_logprob"]


def test_an_answer_behind_reasoning_is_read_behind_it() -> None:
    read: list[tuple[str, str]] = []

    class Base:
        def read(self, pairs: Any) -> Any:
            read.extend(pairs)
            return [(3, -1.5)] * len(pairs)

    texts = ["<think>Hm.</think> I stay.", "<think>Hm", "", "Plain."]
    samples = [{"metrics": {}, "arguments": [["<|a|>", {"max_gen_toks": 3}]], "responses": [[text]]} for text in texts]
    samples[0]["arguments"] = [["<|a|><think>", {"max_gen_toks": 3}]]
    made, unmeasured = measured(samples, Base())
    assert read == [("<|a|><think>Hm.</think> ", "I stay."), ("<|a|>", "Plain.")]
    assert unmeasured == {}
    assert [s["coherence"].get("base_logprob") for s in made] == [-1.5, None, None, -1.5]
    assert made[3]["coherence"]["cut_off"] == 1, "as long as the limit allows, and nobody said why it ended"


def test_an_answer_with_a_token_that_the_model_does_not_know_has_no_likelihood(tmp_path: Path) -> None:
    from lapd.answering.lm import PackedLM
    from lapd.models.loading import load_base, load_tokenizer

    base = resolve_base(str(make_tiny_base(tmp_path / "base")))
    tokenizer = load_tokenizer(base)
    tokenizer.add_tokens([f"<|beyond {n}|>" for n in range(99)])
    lm = PackedLM(load_base(base)[0], tokenizer=tokenizer, batch_size=2)
    known, beyond = lm.logprobs_a_token([("Say:", " it now"), ("Say:", " it <|beyond 98|> now")])
    assert known is not None and known[0] >= 2 and known[1] < 0
    assert beyond is None


def test_eval_prints_what_answers_are_like(
    tiny: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]
) -> None:
    register(monkeypatch, write_tasks(tmp_path / "tasks", writes=WRITTEN))
    asked = ("eval", "--base", tiny.path, "--arms", "base", "--tasks", "writes", "--limit", 2, "-o", tmp_path / "run")
    record = json.loads(invoke(*asked, "--json").stdout)
    coherence = record["results"][0]["coherence"]
    assert math.isfinite(coherence["base_logprob"]) and coherence["base_logprob"] < 0
    assert "base_logprob" in invoke(*asked).stdout
