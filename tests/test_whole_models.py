"""Whole models as arms: a merged one answers as its adapter does, what differs is said, what is none is refused."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from lora import make_lora

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.bake import bake_adapters
from lapd.adapters.whole import not_comparable, resolve_models
from lapd.answering.subjects import LoadedSubject
from lapd.compare.comparisons import compare
from lapd.errors import ModelError, UsageError
from lapd.models.base import resolve_base
from lapd.models.tokenizers import differences
from lapd.record.store import Store
from lapd.testing import make_tiny_base

TASKS = ("--tasks", "situations,situations_open", "--limit", 2)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model `base`, the adapter `INFP` of it, and `merged`, which is both in one."""
    folder = tmp_path_factory.mktemp("models")
    base = resolve_base(str(make_tiny_base(folder / "base", max_position_embeddings=512)))
    make_lora(folder / "INFP", base, seed=1)
    bake_adapters([resolve_adapter(folder / "INFP")], base, folder / "merged")
    return folder


def copied(folder: Path, to: Path, **template: str) -> Path:
    """A copy of a model, perhaps with another chat template."""
    shutil.copytree(folder, to)
    if template:
        (to / "chat_template.jinja").write_text(template["chat"])
    return to


def answers(run: Path, arm: str) -> dict[str, list[Any]]:
    """What an arm answered, by task."""
    store = Store(run)
    return {r["task"]: [s["responses"] for s in store.samples(r["cell"])] for r in store.results() if r["arm"] == arm}


def test_a_merged_model_answers_as_its_adapter_and_comes_to_the_same_verdicts(
    invoke: Callable[..., Result], models: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    asked = ("eval", "--base", models / "base", "--adapter", models / "INFP", "--model-arm", models / "merged")
    result = invoke(*asked, *TASKS, "--arms", "base,adapter", "-o", run, "--json")
    assert result.exit_code == 0, result.stderr
    assert {(r["arm"], r["task"]) for r in json.loads(result.stdout)["results"]} == {
        (arm, task) for arm in ("base", "INFP", "merged") for task in ("situations", "situations_open")
    }
    ours, theirs = answers(run, "merged"), answers(run, "INFP")
    assert ours["situations_open"] == theirs["situations_open"] != answers(run, "base")["situations_open"]
    for merged, adapted in zip(ours["situations"], theirs["situations"], strict=True):
        assert [r[0][0] for r in merged] == pytest.approx([r[0][0] for r in adapted], abs=1e-3)
    rows = {(r.arm, r.task, r.metric): r for r in compare(run).rows if r.baseline == "base"}
    for (arm, task, metric), row in rows.items():
        if arm == "merged":
            twin = rows["INFP", task, metric]
            assert (row.verdict, row.difference) == (twin.verdict, pytest.approx(twin.difference, abs=1e-3))
    assert any(arm == "merged" and "base_logprob" in metric for arm, _, metric in rows)

    record = Store(run).run()["arms"]["merged"]
    assert (record["adapter"]["kind"], record["adapter_persona"]) == ("whole model", "INFP")
    (cell,) = (r["cell"] for r in Store(run).results() if (r["arm"], r["task"]) == ("merged", "situations"))
    assert Store(run).result(cell)["cell"]["kind"] == "whole model"
    assert invoke("report", run).exit_code == 0
    assert "(whole model)" in (run / "report.html").read_text()
    again = invoke("reproduce", run / "cells" / cell)
    assert again.exit_code == 0 and "identical" in again.stdout, again.output
    plan = invoke(*asked, *TASKS, "--arms", "base,adapter", "-o", run, "--plan", "--json")
    assert json.loads(plan.stdout)["todo"] == 0


def test_one_model_is_in_memory_at_a_time(models: Path) -> None:
    base = resolve_base(str(models / "base"))
    (merged,) = resolve_models([f"ft={models / 'merged'}"], base)
    subject = LoadedSubject(base, [merged], "float32", 4)
    first, chats = weakref.ref(subject.model), subject.lm.apply_chat_template([{"role": "user", "content": "?"}])
    subject.switch(merged)
    gc.collect()
    assert first() is None
    whole = weakref.ref(subject.model)
    subject.switch(None)
    gc.collect()
    assert whole() is None
    assert subject.lm.apply_chat_template([{"role": "user", "content": "?"}]) == chats


def test_another_chat_template_is_said_and_what_it_spoils_is_left_out_by_name(
    invoke: Callable[..., Result], models: Path, tmp_path: Path
) -> None:
    chat = "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}\n{% endfor %}<assistant> "
    other, run = copied(models / "merged", tmp_path / "other", chat=chat), tmp_path / "run"
    asked = ("eval", "--base", models / "base", "--model-arm", f"ft={other}", *TASKS, "--arms", "base,adapter")
    result = invoke(*asked, "-o", run)
    assert result.exit_code == 0, result.stderr
    said = "ft has another chat template than the base"
    assert said in result.stderr and "base_logprob cannot be compared" in result.stderr
    shown = invoke("compare", run)
    assert f"{said}, and was asked in its own" in shown.output
    assert "No base_logprob of the answers to situations_open" in shown.output
    store = Store(run)
    results = {(r["arm"], r["task"]): store.result(r["cell"]) for r in store.results()}
    assert results["ft", "situations"]["provenance"]["differs"] == ["chat template"]
    assert "differs" not in results["base", "situations"]["provenance"]
    assert results["ft", "situations_open"]["coherence"].keys() >= {"words", "tokens", "cut_off"}
    assert "base_logprob" not in results["ft", "situations_open"]["coherence"]
    assert "base_logprob" in results["base", "situations_open"]["coherence"]


def test_a_tokenizer_is_another_one_when_it_reads_texts_otherwise(models: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    base = resolve_base(str(models / "base"))
    saved = copied(models / "merged", tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(saved)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|mine|>"]})
    tokenizer.save_pretrained(saved)
    assert resolve_base(str(saved)).files != base.files
    assert differences(base, resolve_base(str(saved))) == ()

    split = copied(models / "merged", tmp_path / "split")
    rules = json.loads((split / "tokenizer.json").read_text())
    rules["model"]["merges"] = rules["model"]["merges"][:100]
    (split / "tokenizer.json").write_text(json.dumps(rules))
    (model,) = resolve_models([f"ft={split}"], base)
    assert model.differs == ("tokenizer",)
    assert not_comparable(model).keys() == {"tokens", "cut_off"}
    assert "another tokenizer than the base" in str(model.remark())


def test_what_is_no_whole_model_is_refused_in_one_line(models: Path, tmp_path: Path) -> None:
    base = resolve_base(str(models / "base"))
    for name, config in {"t5": {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
                         "bert": {"architectures": ["BertForMaskedLM"]}}.items():  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "nothing").mkdir()
    copied(models / "base", tmp_path / "copy")

    def refused(place: Path, kind: type[Exception], words: str) -> None:
        with pytest.raises(kind, match=words) as raised:
            resolve_models([str(place)], base)
        assert "\n" not in str(raised.value)

    refused(models / "INFP", ModelError, "is an adapter, not a whole model. Give it as one: --adapter")
    refused(tmp_path / "nothing", ModelError, "no config.json")
    refused(tmp_path / "t5", ModelError, "T5ForConditionalGeneration, not a causal language model")
    refused(tmp_path / "bert", ModelError, "BertForMaskedLM, not a causal language model")
    refused(models / "base", UsageError, "the base itself")
    refused(tmp_path / "copy", UsageError, "the base itself")
    with pytest.raises(UsageError, match="Two arms are called 'ft'"):
        resolve_models([f"ft={models / 'merged'}"], base, ["ft"])
    with pytest.raises(UsageError, match="has no strength"):
        resolve_models([str(models / "merged")], base)[0].at(0.5)


def test_a_model_without_a_chat_template_is_not_asked_beside_one_with(models: Path, tmp_path: Path) -> None:
    base = resolve_base(str(models / "base"))
    mute = copied(models / "merged", tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    (model,) = resolve_models([f"ft={mute}"], base)
    subject = LoadedSubject(base, [model], "float32", 4)
    with pytest.raises(ModelError, match="ft has no chat template"):
        subject.switch(model)


def test_the_base_of_a_merged_model_is_known_and_that_of_others_must_be_said(
    invoke: Callable[..., Result], models: Path, tmp_path: Path
) -> None:
    asked = ("--tasks", "situations", "--limit", 1, "--plan", "--json", "-o", tmp_path / "run")
    result = invoke("eval", "--model-arm", models / "merged", *asked)
    assert result.exit_code == 0, result.stderr
    assert {c["arm"] for c in json.loads(result.stdout)["cells"]} >= {"base", "merged", "merged+prompt(INFP)"}
    foreign = copied(models / "merged", tmp_path / "foreign")
    (foreign / "run_card.json").unlink()
    result = invoke("eval", "--model-arm", foreign, *asked)
    assert result.exit_code == 2 and "Give --base MODEL" in result.stderr


def test_an_experiment_has_whole_models_beside_its_adapters(
    invoke: Callable[..., Result], models: Path, tmp_path: Path
) -> None:
    text = (
        f"name: with a model\nbase: {models / 'base'}\npersonas: [INFP]\nout: {tmp_path / 'run'}\n"
        f"models: {{ft: {models / 'merged'}}}\nevaluate: {{tasks: [situations], arms: [base, adapter]}}\n"
    )
    (tmp_path / "file.yaml").write_text(text)
    plan = invoke("run", tmp_path / "file.yaml", "--plan", "--json")
    assert plan.exit_code == 0, plan.stderr
    assert [c["arm"] for c in json.loads(plan.stdout)["cells"]] == ["base", "INFP", "ft"]
