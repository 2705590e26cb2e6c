"""The checks of `check_cuda.py` on what a loaded model says: scores, texts, adapters switched, speed; against `hf`."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from cuda_place import Place, Skipped, large_shape, random_llama, timed
from eval_cpu import PROMPT, Answers, agreement, time_scoring

ASKED = (
    ("situations", False, 24),
    ("situations", True, 24),
    ("knowledge_mini", False, 24),
    ("pressure", False, 20),
    ("pressure", True, 20),
)
"""Task, whether under a persona's prompt, documents."""

LIMIT = 1e-3
"""Nats that a float32 score may differ by, as everywhere in LAPD."""

LIMIT_BFLOAT16 = 1.5
"""How many times farther than `hf` packed scores in bfloat16 may be from float32's (root mean squares)."""

NEAR_TIE = 0.01
"""Nats between two tokens below which either may be taken for the likelier one."""

BATCH = 16


def requests(place: Place, lm: Any, task: str, prompted: bool, documents: int) -> list[Any]:
    """lm-eval's requests of a task's first documents, as that model is asked them."""
    from lapd.catalog.find import find_task
    from lapd.catalog.live import build_requests, load_task
    from lapd.names import get_persona

    system = get_persona(PROMPT).system_prompt if prompted else None
    live = load_task(find_task(task), tokenizer=str(place.base))
    return build_requests(live, place.limit(documents), lm.apply_chat_template, system)


def both(model: Any, tokenizer: Any, batch: int = BATCH) -> tuple[Any, Any]:
    """LAPD's view of a loaded model, and lm-eval's."""
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM
    from lapd.files.quiet import quiet_libraries

    with quiet_libraries():
        ours, theirs = (kind(model, tokenizer=tokenizer, batch_size=batch) for kind in (PackedLM, HFLM))
    return ours, theirs


def scoring(place: Place) -> dict[str, Any]:
    """Packed scores against `hf`'s in float32 and bfloat16, and how far both are from float32's in bfloat16."""
    found: dict[str, Any] = {"wrong": []}
    exact: list[float] = []
    for dtype in ("float32", "bfloat16"):
        ours, theirs = both(*_load(place, dtype))
        mine, stock, difference, same, documents = [], [], 0.0, 0, 0
        for task, prompted, number in ASKED:
            asked = requests(place, ours, task, prompted, number)
            one, other = (lm.loglikelihood(asked, disable_tqdm=True) for lm in (ours, theirs))
            some = agreement(asked, one, other)
            difference, same, documents = max(difference, some[0]), same + some[1], documents + some[2]
            mine, stock = mine + _values(one), stock + _values(other)
        found |= {f"max_difference_{dtype}": difference, f"same_predictions_{dtype}": [same, documents]}
        if not ours.packs:
            found["wrong"].append(f"in {dtype} rows are not packed")
        if dtype == "float32":
            exact = stock
            if difference > LIMIT or same < documents:
                found["wrong"].append(
                    f"float32 scores differ by {difference:.2g} nats, on {documents - same} in choice"
                )
        else:
            packed, plain = _distance(mine, exact), _distance(stock, exact)
            found |= {"bfloat16_from_float32_packed": packed, "bfloat16_from_float32_hf": plain}
            if packed > LIMIT_BFLOAT16 * plain:
                found["wrong"].append(f"bfloat16 scores are {packed:.2g} nats off packed, {plain:.2g} by hf")
        del ours, theirs
        place.tidy()
    return {**found, "requests": len(exact)}


def texts(place: Place) -> dict[str, Any]:
    """Greedy answers against `hf`'s in float32: equal, or parting at a near tie; and the seconds of both."""
    model, tokenizer = _load(place, "float32")
    ours, theirs = both(model, tokenizer)
    asked = requests(place, ours, "overrefusal", False, 32)
    for lm in (ours, theirs):  # the first pass through each shape compiles and allocates
        lm.generate_until(asked[:2], disable_tqdm=True)
    seconds, answers = [], []
    for lm in (ours, theirs):
        started = time.perf_counter()
        answers.append(lm.generate_until(asked, disable_tqdm=True))
        seconds.append(time.perf_counter() - started)
    pairs = list(zip(asked, *answers, strict=True))
    gaps = [_gap(model, tokenizer, r.args[0], one, other) for r, one, other in pairs if one != other]
    wrong = [
        f"a greedy text parts from hf's where the tokens are {gap:.2g} nats apart" for gap in gaps if gap > NEAR_TIE
    ]
    return {
        "equal": [len(asked) - len(gaps), len(asked)],
        "nats_where_they_part": gaps,
        "seconds_packed_hf": seconds,
        "wrong": wrong,
    }


def _gap(model: Any, tokenizer: Any, context: str, one: str, other: str) -> float:
    """Nats between the two tokens at which two answers part."""
    import torch

    before, *ids = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (context, one, other))
    same = next((k for k, (a, b) in enumerate(zip(*ids, strict=False)) if a != b), min(map(len, ids)))
    ends = [row[same] if same < len(row) else tokenizer.eos_token_id for row in ids]
    with torch.inference_mode():
        known = torch.tensor([before + ids[0][:same]], device=model.device)
        logprobs = model(input_ids=known, use_cache=False).logits[0, -1].float().log_softmax(-1)
    return abs(float(logprobs[ends[0]] - logprobs[ends[1]]))


def switching(place: Place) -> dict[str, Any]:
    """Adapter A, B, A again, A at half its strength, none: as loaded afresh, without a trace."""
    from lapd.answering.subjects import open_subject
    from lapd.files.quiet import quiet_libraries
    from lapd.models.base import resolve_base

    base = resolve_base(str(place.base))
    a, b = make_adapters(_load(place, "float32")[0], 2, place.folder / "adapters")[1]
    order = {"A": a, "B": b, "A again": a, "A at .5": a.at(0.5), "none": None}
    with quiet_libraries():
        subject: Any = open_subject(base, [a, b], "float32", BATCH)
    asked = requests(place, subject.lm, "situations", True, 24)
    scores = {}
    for name, adapter in order.items():
        subject.switch(adapter)
        scores[name] = _values(subject.lm.loglikelihood(asked, disable_tqdm=True))
    del subject
    fresh = {}
    for name in ("A", "A at .5", "none"):
        place.tidy()
        adapter = order[name]
        with quiet_libraries():
            subject = open_subject(base, [adapter] if adapter else [], "float32", BATCH)
        subject.switch(adapter)
        fresh[name] = _values(subject.lm.loglikelihood(asked, disable_tqdm=True))
        del subject
    found: dict[str, Any] = {
        "a_again": _most(scores["A"], scores["A again"]),
        **{f"fresh_{name.lower().replace(' ', '_')}": _most(fresh[name], scores[name]) for name in fresh},
        "a_and_b_differ_by": _most(scores["A"], scores["B"]),
        "strength_moves": _most(scores["A"], scores["A at .5"]),
    }
    traces = [name for name, value in found.items() if name not in _MOVES and value > LIMIT]
    still = [name for name in _MOVES if found[name] <= LIMIT]
    wrong = [f"{name}: {found[name]:.2g} nats, where there should be none" for name in traces]
    return {**found, "wrong": [*wrong, *(f"{name}: nothing changes" for name in still)]}


_MOVES = ("a_and_b_differ_by", "strength_moves")


def speed(place: Place) -> dict[str, Any]:
    """Requests a second packed and by `hf` on a model of Llama 3 8B's shape in bfloat16; a switch of adapters."""
    from lapd.adapters.switching import switch_adapter
    from lapd.answering.canary import check_adapters
    from lapd.files.quiet import quiet_libraries

    shape = large_shape(place)
    if place.device == "cuda" and place.gib < 24:
        raise Skipped(f"{place.gib:.0f} GiB of memory; it takes 24")
    with quiet_libraries():
        model, tokenizer = random_llama(place, shape)
        found: dict[str, Any] = {
            "layers": shape["num_hidden_layers"],
            "parameters": model.num_parameters(),
            "wrong": [],
        }
        model, adapters = make_adapters(model, 2, place.folder / "large-adapters")
        model = check_adapters(model, adapters)
        switch_adapter(model, adapters[0])
    ours, theirs = both(model, tokenizer, 64)
    for task, documents in (("socialiqa_mini", 60), ("mbti", 64)):
        asked = requests(place, ours, task, True, documents)
        for lm in (ours, theirs):
            lm.loglikelihood(asked[:64], disable_tqdm=True)
        rates, difference, same, of = time_scoring(task, asked, ours, theirs, 1 if place.tiny else 2)
        found |= {**rates, f"max_difference_{task}": difference, f"same_predictions_{task}": [same, of]}
    if not ours.packs:
        found["wrong"].append("rows are not packed")
    return {**found, "switch_milliseconds": 1000 * switch_seconds(place, model, adapters)}


def switch_seconds(place: Place, model: Any, adapters: list[Any], rounds: int = 20) -> float:
    """The median time of switching from one adapter to another."""
    from lapd.adapters.switching import switch_adapter

    return median(timed(place, partial(switch_adapter, model, adapters[k % len(adapters)])) for k in range(rounds))


def make_adapters(model: Any, n: int, folder: Path) -> tuple[Any, list[Any]]:
    """The bare model, and `n` random LoRA adapters of it (rank 16, every linear layer)."""
    import torch
    from peft import LoraConfig, get_peft_model

    from lapd.adapters.adapter import resolve_adapter

    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, config)
    for number in range(n):
        torch.manual_seed(number)
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.01)
        wrapped.save_pretrained(folder / f"A{number}", save_embedding_layers=False)
    bare = wrapped.unload()
    vars(bare).pop("peft_config", None)  # or PEFT would take it for a model that has adapters
    return bare, [resolve_adapter(folder / f"A{number}") for number in range(n)]


def _load(place: Place, dtype: str) -> tuple[Any, Any]:
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    return load_base(resolve_base(str(place.base)), dtype, place.device)


def _values(answers: Answers) -> list[float]:
    return [value for value, _ in answers]


def _distance(some: list[float], others: list[float]) -> float:
    """The root mean square of differences."""
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(some, others, strict=True)) / len(some))


def _most(some: list[float], others: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(some, others, strict=True))
