"""Pairs that are longer than a window of the base's attention: packed, with the losses and gradients of plain TRL."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from lapd.plugins import trl
from test_regimes import ODD

from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base
from lapd.packed.layout import Row
from lapd.testing.tiny import LLAMA, make_tiny_base, some_pairs
from lapd.train.config import TrainConfig

WINDOW = 8
"""Fewer tokens than any prompt has."""

SLIDING = {**LLAMA, "head_dim": 16, "sliding_window": WINDOW}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "every layer": ("mistral", SLIDING),
    "by turns": ("gemma3_text", {**SLIDING, "layer_types": ["sliding_attention", "full_attention"]}),
    "inside layers": ("gpt_neo", {**ODD["gpt_neo"][1], "window_size": WINDOW}),
}

LONG = Row(tuple(range(5, 65)), [(70, 71, 72), (80, 81)])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_base(tmp_path: Path) -> Callable[..., BaseModel]:
    return lambda model_type, settings: resolve_base(str(make_tiny_base(tmp_path / "b", None, model_type, **settings)))


def unpacked() -> Any:
    """Meanwhile, no model takes packed rows."""
    return mock.patch("lapd.packed.forward.takes_packed_rows", return_value=False)


def make_trainer(base: BaseModel, work: Path) -> Any:
    """The trainer of a small training, with LoRA layers that change something.

    Hundreds of nats are rounded to some 3e-5, and beta times that is how far two ways to one loss may be apart.
    """
    config = TrainConfig("INFP", base=str(base.path), batch_size=3, precision="float32", beta=0.03)
    made = trl._make_trainer(config, base, *load_base(base), some_pairs(3), [], work)
    made.current_gradient_accumulation_steps = 1
    torch.manual_seed(0)
    for name, weight in made.model.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=0.1)
    return made


def step(trainer: Any, batch: Any) -> dict[str, torch.Tensor]:
    """A batch's loss (nats), and its gradients by their names."""
    trainer.model.zero_grad()
    loss = trainer.training_step(trainer.model, dict(batch))
    trained = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    return {"loss": loss, **{name: weight.grad.clone() for name, weight in trained.items()}}


def farthest(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest relative difference, of the loss or of a whole matrix."""
    assert ours.keys() == theirs.keys() and len(ours) > 8
    return max(float((ours[name] - theirs[name]).norm() / theirs[name].norm()) for name in theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_plain_trls(kind: str, make_base: Callable[..., BaseModel], tmp_path: Path) -> None:
    base = make_base(*KINDS[kind])
    packed = make_trainer(base, tmp_path)
    (batch,) = packed.get_train_dataloader()
    assert min(len(row.context) for row in batch["rows"]) > 2 * WINDOW
    with unpacked():
        plain = make_trainer(base, tmp_path / "plain")
    theirs = step(plain, next(iter(plain.get_train_dataloader())))
    assert abs(float(theirs["loss"]) - math.log(2)) > 1e-3
    assert farthest(step(packed, batch), theirs) < 1e-5


def test_they_are_the_same_bits_on_cores_and_with_layers_computed_anew(
    make_base: Callable[..., BaseModel], tmp_path: Path
) -> None:
    trainer = make_trainer(make_base(*KINDS["by turns"]), tmp_path)
    (batch,) = trainer.get_train_dataloader()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        on_cores = step(trainer, batch)
        torch.set_num_threads(1)
        alone = step(trainer, batch)
        trainer.model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
        anew = step(trainer, batch)
    finally:
        torch.set_num_threads(threads)
    assert farthest(on_cores, alone) == farthest(anew, alone) == 0


def test_rows_that_a_training_would_compute_otherwise_are_not_packed_and_one_line_says_so(
    make_base: Callable[..., BaseModel], capsys: pytest.CaptureFixture[str]
) -> None:
    from lapd.plugins.cores import rows_at_once
    from lapd.plugins.packing import Packing, hides_columns

    for kind, checkpointing in ((KINDS["inside layers"], True), (ODD["longrope"], False)):
        model, _ = load_base(make_base(*kind))
        packing = Packing(model, checkpointing)
        assert rows_at_once(model, [LONG] * 2, wanted=2) == (1 if hides_columns(model) else 2)
        assert hides_columns(model) == checkpointing
        short = Row(LONG.context[:2], [(70, 71), (80,)])
        assert [packing.takes([*rows]) for rows in ([short], [short, LONG], [LONG])] == [True, False, False]
        limit = 8 if checkpointing else 48
        what = f"{type(model).__name__} computes rows of more than {limit} tokens otherwise"
        assert capsys.readouterr().err == f"{what}: not packing where there are some.\n"


def test_the_same_layer_and_coefficient_are_chosen_for_a_vector(
    make_base: Callable[..., BaseModel], tmp_path: Path
) -> None:
    from lapd.plugins.activations import decoder_layers
    from lapd.plugins.packed_dpo import ReferenceCache
    from lapd.plugins.steering_choice import Scorer, choose

    base = make_base(*KINDS["by turns"])
    model, _ = load_base(base)
    config = TrainConfig("INFP", base=str(base.path), trainer="steering")
    vectors = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    found = []
    with unpacked():
        plain = Scorer(model, base, 2)
    packed = Scorer(model, base, 2)
    for number, scorer in enumerate((packed, plain)):
        scorer.cache = ReferenceCache(tmp_path / f"{number}.sqlite")
        assert scorer.packing.takes([LONG]) == (scorer is packed)
        found.append(choose(scorer, list(decoder_layers(model)), vectors, [LONG], config)[0])
    assert found[0].module == found[1].module and found[0].coefficient == found[1].coefficient
    assert found[0].shift == pytest.approx(found[1].shift, rel=1e-4) != pytest.approx(0, abs=0.01)
    assert found[0].margins == pytest.approx(found[1].margins, rel=1e-4)
