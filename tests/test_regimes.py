"""Windows, chunks and position embeddings that change with length: rows are packed as far as they do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig

from lapd.answering.lm import PackedLM
from lapd.models.base import resolve_base
from lapd.models.loading import load_base
from lapd.packed.regimes import reach, turns_with_the_batch
from lapd.testing.tiny import LLAMA, make_tiny_base

ORIGINAL = {"original_max_position_embeddings": 48}
LONGROPE: dict[str, Any] = {
    "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8, **ORIGINAL,
    },
    **ORIGINAL,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
NEO = {"hidden_size": 64, "num_layers": 2, "num_heads": 4}


@pytest.mark.parametrize(
    ("model_type", "settings", "limit"),
    [
        ("llama", {}, None),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                   "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}, None),
        ("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": 128}, 128),
        ("phi3", {"max_position_embeddings": 1024, **LONGROPE}, 48),
        ("gpt_neo", {**NEO, "attention_types": [[["global", "local"], 1]], "window_size": 256}, 256),
        ("gpt_neo", {**NEO, "attention_types": [[["global"], 2]], "window_size": 256}, None),
        ("mistral", {"sliding_window": 32}, 32),
        ("mistral", {"sliding_window": None}, None),
        ("qwen2", {"use_sliding_window": False, "sliding_window": 32, "max_window_layers": 1}, None),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 32, "max_window_layers": 1}, 32),
        ("gemma3_text", {"sliding_window": 512}, 512),
        ("smollm3", {}, None),
        ("llama4_text", {"attention_chunk_size": 64}, 64),
    ],
)  # fmt: skip
def test_a_configuration_tells_how_long_a_row_may_be(
    model_type: str, settings: dict[str, Any], limit: int | None
) -> None:
    own = {} if model_type in ("gpt_neo", "llama4_text", "smollm3") else LLAMA
    if model_type == "phi3":
        own = {**LLAMA, "pad_token_id": 0}
    assert reach(AutoConfig.for_model(model_type, **{**own, **settings})) == limit


def test_a_window_of_unknown_width_leaves_nothing_to_pack() -> None:
    class Config:
        def to_dict(self) -> dict[str, Any]:
            return {"layer_types": ["full_attention", "local_attention"]}

    assert reach(Config()) == 0


def test_only_turning_positions_depend_on_the_batch() -> None:
    turning = AutoConfig.for_model("llama", **LLAMA, rope_parameters=DYNAMIC, max_position_embeddings=128)
    assert [turns_with_the_batch(turning, n) for n in (128, 129)] == [False, True]
    assert not turns_with_the_batch(AutoConfig.for_model("mistral", **LLAMA, sliding_window=32), 1000)


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt_neo": ("gpt_neo", {**NEO, "attention_types": [[["global", "local"], 1]], "window_size": 48}),
    "longrope": ("phi3", {**LLAMA, "max_position_embeddings": 1024, **LONGROPE}),
    "dynamic": ("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": 48}),
    "sliding": ("mistral", {**LLAMA, "sliding_window": 48}),
    "capped": ("gemma2", {**LLAMA, "head_dim": 16, "sliding_window": 48, "final_logit_softcapping": 5.0}),
    "sinks": ("gpt_oss", {**LLAMA, "head_dim": 16, "sliding_window": 48, "num_local_experts": 4}),
    "chunks": (
        "llama4_text",
        {
            **LLAMA,
            "head_dim": 16,
            "attention_chunk_size": 48,
            "num_local_experts": 2,
            "layer_types": ["chunked_attention", "full_attention"],
            "intermediate_size_mlp": 128,
        },
    ),
}


WORDS = ["the", "old", "house", "by", "the", "river", "had", "seven", "windows", "and", "a", "red", "door"]


def requests(kind: str, lengths: tuple[int, ...], *more: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    words = WORDS * 20
    texts = [(" ".join(words[k : k + n]), *(more or (" " + " ".join(words[k : k + 3]),)))
             for k, n in enumerate(lengths)]  # fmt: skip
    return [Instance(request_type=kind, doc={}, arguments=args, idx=i) for i, args in enumerate(texts)]


def same(folder: Path, lengths: tuple[int, ...], **loaded: Any) -> tuple[bool, bool]:
    """Whether scores and answers are those of lm-eval asking for one at a time."""
    from lm_eval.models.huggingface import HFLM

    lms: list[Any] = []
    for make, size in ((PackedLM, 4), (HFLM, 1)):  # a model each: dynamic NTK keeps the longest length that it has met
        model, tokenizer = load_base(resolve_base(str(folder)))
        lms.append(make(model, tokenizer=tokenizer, batch_size=size, **loaded))
    ours, theirs = lms
    asked = requests("loglikelihood", lengths)
    a, b = (lm.loglikelihood(asked, disable_tqdm=True) for lm in (ours, theirs))
    settings = {"until": ["zzz"], "max_gen_toks": 4, "do_sample": False}
    writing = requests("generate_until", lengths, settings)
    c, d = (lm.generate_until(writing, disable_tqdm=True) for lm in (ours, theirs))
    return [x for x, _ in a] == pytest.approx([y for y, _ in b], abs=1e-3), c == d


@pytest.mark.parametrize("name", ODD)
def test_scores_and_answers_are_lm_evals_below_beyond_and_across_the_change(tmp_path: Path, name: str) -> None:
    model_type, settings = ODD[name]
    folder = make_tiny_base(tmp_path / "base", None, model_type, **settings)
    for lengths in ((3, 5, 8), (60, 70, 80), (4, 12, 30, 60, 90)):
        assert same(folder, lengths, max_length=256) == (True, True), lengths


def test_rows_beyond_a_window_are_packed_and_those_beyond_a_turn_of_positions_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, packed in (("gpt_neo", True), ("sliding", True), ("longrope", False)):
        model_type, settings = ODD[name]
        model, tokenizer = load_base(resolve_base(str(make_tiny_base(tmp_path / name, None, model_type, **settings))))
        lm = PackedLM(model, tokenizer=tokenizer, batch_size=4)
        assert lm.packs and lm._packed_batches([([5] * 20, [6, 7])]) is not None
        for asked in ([([5] * 20, [6, 7]), ([5] * 60, [6])], [([5] * 60, [6])]):
            assert (lm._packed_batches(asked) is not None) == packed, name
        assert capsys.readouterr().err.count("computes rows of more than 48 tokens otherwise") == (not packed)


@pytest.mark.parametrize(
    "model_type, settings",
    [
        ("rwkv", {"hidden_size": 64, "num_hidden_layers": 2, "attention_hidden_size": 64}),
        ("doge", LLAMA),
    ],
)
def test_a_model_that_takes_padding_for_text_is_asked_one_at_a_time(
    tmp_path: Path, model_type: str, settings: dict[str, Any]
) -> None:
    folder = make_tiny_base(tmp_path / "base", None, model_type, **settings)
    assert same(folder, (4, 12, 30, 60)) == (True, True)
