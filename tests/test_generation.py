"""Generation: the texts of lm-eval's `hf`, in batches that shrink, kept as they finish."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from lapd.catalog.find import find_task
from lapd.catalog.live import build_requests, load_task
from lapd.packed.blocked import TOKENS
from lapd.record.journal import Journal
from lapd.testing import make_tiny_base

SYSTEM = "You are somebody who answers in few words and means every one of them. Be brief, and be kind."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """LAPD's lm-eval model and lm-eval's own, each on the same tiny model."""
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM

    folder = str(make_tiny_base(tmp_path_factory.mktemp("tiny")))
    return tuple(kind(folder, dtype="float32", batch_size=4, device="cpu") for kind in (PackedLM, HFLM))


def request(context: str, **settings: Any) -> Any:
    from lm_eval.api.instance import Instance

    return Instance("generate_until", {}, (context, settings), 0)


def prompts(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    words = ["river", "stone", "quiet", "morning", "letter", "window", "garden", "train", "music", "winter"]
    return [f"{SYSTEM}\n\nSay: {' '.join(rng.choices(words, k=rng.randint(1, 15)))}" for _ in range(n)]


def count_forward_passes(lm: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A list to which every pass through the model adds its rows and columns, but for those that try blocks."""
    shapes: list[tuple[int, int]] = []
    kind = type(lm.model.base_model)
    forward = kind.forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs["input_ids"].tolist() != [list(TOKENS)]:
            shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(kind, "forward", counted)
    return shapes


@pytest.mark.parametrize(
    "settings",
    [
        {"until": [], "max_gen_toks": 24},
        {"until": ["e", "\n\n"], "max_gen_toks": 16, "do_sample": False},
        {"until": " t", "max_new_tokens": 12, "temperature": 0.0},
        {"until": ["no such thing will ever be said"], "max_gen_toks": 3},
    ],
)
def test_texts_are_hfs(models: tuple[Any, Any], settings: dict[str, Any]) -> None:
    ours, theirs = models
    requests = [request(text, **settings) for text in (*prompts(9), "Say: x", SYSTEM * 4)]
    assert ours._writing(settings) is not None
    texts = ours.generate_until(requests, disable_tqdm=True)
    assert texts == theirs.generate_until(requests, disable_tqdm=True)
    assert len(set(texts)) > 2
    if "e" in settings["until"]:
        assert len({len(text) for text in texts}) > 3, "they shall not all end at once"


def test_requests_of_several_kinds_keep_their_order(models: tuple[Any, Any]) -> None:
    ours, theirs = models
    kinds = [{"until": ["a"], "max_gen_toks": 9}, {"until": [], "max_gen_toks": 5}]
    requests = [request(text, **kinds[i % 2]) for i, text in enumerate(prompts(7))]
    assert ours.generate_until(requests) == theirs.generate_until(requests)


def test_a_prompt_longer_than_the_window_loses_its_beginning(models: tuple[Any, Any]) -> None:
    ours, theirs = models
    requests = [request(text, until=[], max_gen_toks=8) for text in prompts(3)]
    for lm in models:
        lm._max_length = 20
    try:
        assert ours.generate_until(requests) == theirs.generate_until(requests)
    finally:
        for lm in models:
            lm._max_length = None


def test_an_answer_that_has_ended_is_computed_no_further(
    models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = models
    shapes = count_forward_passes(ours, monkeypatch)
    ours.generate_until([request(text, until=["e"], max_gen_toks=40) for text in prompts(4)])
    prefix, *steps = [rows for rows, _ in shapes]
    assert (prefix, steps[0]) == (1, 4)
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < 4 and len(steps) <= 40 and sum(steps) < 40 * 4


def test_the_next_prompt_takes_the_place_of_an_answer_that_has_ended(
    models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = models
    monkeypatch.setattr(ours, "batch_size_per_gpu", 2)
    requests = [request(text, until=["e"], max_gen_toks=40) for text in prompts(30)]
    shapes = count_forward_passes(ours, monkeypatch)
    texts = ours.generate_until(requests)
    reads = [k for k, (_, columns) in enumerate(shapes) if columns > 1]
    assert len(reads) > 6
    while_some_wait = {rows for rows, columns in shapes[: reads[-1]] if columns == 1}
    assert while_some_wait == {8}
    monkeypatch.undo()
    assert texts == theirs.generate_until(requests)


def test_a_shared_prefix_is_computed_once(models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = models
    shapes = count_forward_passes(ours, monkeypatch)
    requests = [request(text, until=[], max_gen_toks=1) for text in prompts(12)]
    ours.generate_until(requests)
    prefix = len(ours.tok_encode(SYSTEM))
    assert [shape for shape in shapes if shape[0] == 1 and shape[1] >= prefix] == [shapes[0]]
    assert max(width for _, width in shapes[1:]) < 40


@pytest.mark.parametrize(
    ("setting", "value"), [("do_sample", True), ("num_beams", 2), ("repetition_penalty", 1.5), ("max_gen_toks", 10**6)]
)
def test_what_is_not_plain_greed_is_left_to_hf(models: tuple[Any, Any], setting: str, value: Any) -> None:
    ours, _ = models
    assert ours._writing({"until": [], setting: value}) is None


def test_a_model_with_a_penalty_by_default_is_left_to_hf(
    models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = models
    requests = [request(text, until=[], max_gen_toks=12) for text in prompts(3)]
    plain = ours.generate_until(requests)
    for lm in models:
        monkeypatch.setattr(lm.model.generation_config, "repetition_penalty", 1.8)
    texts = ours.generate_until(requests)
    assert texts == theirs.generate_until(requests)
    assert texts != plain


@pytest.mark.parametrize("settings", [{"until": ["e"], "max_gen_toks": 10}, {"do_sample": True, "temperature": 1.0}])
def test_a_run_that_goes_on_ends_in_the_same_texts(
    models: tuple[Any, Any], settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampled ones too: a batch's randomness depends on the batch and the seed, not on what came before."""
    import torch

    ours, _ = models
    monkeypatch.setattr(ours, "batch_size_per_gpu", 1)
    requests = [request(text, **{"until": [], "max_gen_toks": 6, **settings}) for text in prompts(35)]
    torch.manual_seed(7)
    with Journal(tmp_path / "whole") as ours.journal:
        whole = ours.generate_until(requests)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    assert len(lines) >= 4
    (tmp_path / "killed").write_bytes(b"".join(lines[:2]))
    torch.rand(5)
    torch.manual_seed(7)
    with Journal(tmp_path / "killed") as ours.journal:
        assert ours.generate_until(requests) == whole
    ours.journal = None
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_progress_comes_to_the_work_that_was_announced(models: tuple[Any, Any]) -> None:
    ours, _ = models
    requests = [request(text, until=["e"], max_gen_toks=6) for text in [*prompts(5), prompts(1)[0]]]
    done: list[int] = []
    ours.on_progress = done.append
    try:
        ours.generate_until(requests)
    finally:
        ours.on_progress = None
    assert sum(done) == ours.work(requests)


@pytest.mark.slow
def test_the_embedded_models_answers_are_hfs() -> None:
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    model, tokenizer = load_base(resolve_base("smollm2"))
    ours, theirs = (kind(model, tokenizer=tokenizer, batch_size=8) for kind in (PackedLM, HFLM))
    requests = build_requests(load_task(find_task("overrefusal")), 16, ours.apply_chat_template)
    for one in requests:
        one.args[1]["max_gen_toks"] = 24
    ours_texts, their_texts = (lm.generate_until(requests, disable_tqdm=True) for lm in (ours, theirs))
    # Two tokens that are equally likely but for float noise may part the texts: at most one here.
    assert sum(a == b for a, b in zip(ours_texts, their_texts, strict=True)) >= 15
