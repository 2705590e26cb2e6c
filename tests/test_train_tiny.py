"""Training on a tiny model with random weights: losses, held-out scores, early ends, divergence, several at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import Result

from lapd.adapters.adapter import Adapter
from lapd.errors import DataError, LapdError, UsageError
from lapd.names import get_persona
from lapd.pairs.pair import write_pairs
from lapd.train.config import TrainConfig
from lapd.train.job import load_pairs
from lapd.train.training import train_adapter, train_adapters

SETTINGS: dict[str, Any] = {
    **{"pairs": 6, "batch_size": 2, "epochs": 1.0, "lr": 2e-3, "precision": "float32", "trainer": "trl"},
    **{"eval_pairs": 0, "save_steps": 1},
}
"""Three steps, a checkpoint after each, nothing scored."""

BOTH = ("chosen_reward", "rejected_reward", "chosen_logp", "rejected_logp")
"""What is logged of each response, whichever trainer computes the losses."""


@pytest.fixture
def train(tiny: Path, tmp_path: Path) -> Callable[..., Adapter]:
    """`train(name, **settings)`: INFP, into a folder of that name."""

    def run(name: str, **settings: Any) -> Adapter:
        config = TrainConfig(**{"persona": "INFP", "base": str(tiny), **SETTINGS, **settings})
        return train_adapter(config, tmp_path / name)

    return run


def weights(folder: Path | Adapter) -> bytes:
    path = folder.path if isinstance(folder, Adapter) else folder
    return (path / "adapter_model.safetensors").read_bytes()


def card(adapter: Adapter) -> dict[str, Any]:
    assert adapter.card
    return adapter.card


def test_the_curves_show_held_out_scores_where_there_are_some(tmp_path: Path) -> None:
    from lapd.pictures.curves import training_curves, training_pictures

    log: list[dict[str, float]] = [{"step": n, "loss": 0.7 - n / 30, "margin": n / 20} for n in range(1, 13)]
    assert len(training_pictures(log, "t")) == 2
    log[5] |= {"heldout_margin": 1.5, "heldout_accuracy": 0.75}
    picture = training_pictures(log, "t")[2]
    assert "held-out margin" in picture.svg and "75%" in picture.svg
    assert picture.numbers.splitlines() == ["step,heldout_margin,heldout_accuracy", "6,1.5,0.75"]
    training_curves(log, tmp_path / "curves.png", "INFP on smollm2")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


# Losses


@pytest.mark.parametrize(
    "loss",
    [
        {},
        {"loss": "ipo"},
        {"loss": "robust", "label_smoothing": 0.2},
        {"rpo_alpha": 0.7},
        {"loss": "ipo", "rpo_alpha": 0.7, "grad_accum": 2, "batch_size": 1},
    ],
    ids=["sigmoid", "ipo", "robust", "sigmoid-rpo", "ipo-rpo-accumulated"],
)
def test_the_packed_losses_are_trls_losses(train: Callable[..., Adapter], loss: dict[str, Any]) -> None:
    packed = card(train("packed", **loss, eval_pairs=2))["log"]
    with mock.patch("lapd.packed.forward.takes_packed_rows", return_value=False):
        plain = card(train("plain", **loss, eval_pairs=2))["log"]
    assert len(packed) == 3
    assert len({round(entry["loss"], 3) for entry in packed}) > 1, "the steps must differ, or nothing is compared"
    for ours, theirs in zip(packed, plain, strict=True):
        assert ours.keys() == theirs.keys() >= set(BOTH)
        assert ours["chosen_reward"] - ours["rejected_reward"] == pytest.approx(ours["margin"], abs=1e-5)
        for name in ("loss", "margin", "heldout_margin", *BOTH):
            if name in ours:
                assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-4), (ours["step"], name)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"loss": "dpo"}, "--loss 'dpo'"),
        ({"loss": "robust"}, "--loss robust needs --label-smoothing"),
        ({"label_smoothing": 0.1}, "--label-smoothing has no meaning for --loss sigmoid"),
        ({"loss": "ipo", "label_smoothing": 0.1}, "--label-smoothing has no meaning for --loss ipo"),
        ({"loss": "robust", "label_smoothing": 0.5}, "--label-smoothing is a share"),
        ({"rpo_alpha": -1.0}, "--rpo-alpha must be 0 or more"),
        ({"weight_decay": float("nan")}, "--weight-decay must be 0 or more"),
        ({"lora_dropout": 1.0}, "--lora-dropout is a share"),
        ({"schedule": "step"}, "--schedule 'step'"),
        ({"eval_every": 0}, "--eval-every must be at least 1"),
        ({"eval_pairs": -1}, "--eval-pairs must be 0 or more"),
        ({"stop_when": "accuracy>0.9"}, "--stop-when 'accuracy>0.9' is no rule"),
        ({"stop_when": "heldout_margin>=1e"}, "'1e' is no number"),
        ({"stop_when": "heldout_accuracy>=0.9", "eval_pairs": 0}, "--stop-when needs held-out pairs"),
        ({"eval_every": 5, "dataset": "x.jsonl", "eval_pairs": 0}, "--eval-every needs held-out pairs"),
    ],
)
def test_options_that_are_unknown_or_conflict_are_named(settings: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=option):
        TrainConfig("INFP", **settings)


def test_schedule_decay_and_dropout_change_the_weights_and_checkpointing_does_not(
    train: Callable[..., Adapter],
) -> None:
    plain = weights(train("plain"))
    changed = {
        name: weights(train(name, **{name: value}))
        for name, value in {"schedule": "constant", "weight_decay": 0.5, "lora_dropout": 0.5}.items()
    }
    assert len({plain, *changed.values()}) == 4
    assert weights(train("checkpointing", gradient_checkpointing=True)) == plain


def test_a_new_setting_at_its_default_does_not_make_another_adapter(train: Callable[..., Adapter]) -> None:
    """What the first version's identity was taken over, written out."""
    from lapd.files.whole import digest_json
    from lapd.models.base import resolve_base

    adapter = train("one")
    names = "persona pairs trainer beta epochs lr batch_size grad_accum warmup max_length r alpha precision seed"
    settings = {name: card(adapter)["settings"][name] for name in names.split()}
    base = resolve_base(card(adapter)["base"]["name"])
    old = digest_json(["INFP", settings, base.digest, card(adapter)["data"]["digest"]])
    assert card(adapter)["identity"] == old
    assert card(train("two", loss="ipo"))["identity"] != old
    assert card(train("three", gradient_checkpointing=True, eval_pairs=4, eval_every=1))["identity"] == old
    assert card(train("four", eval_pairs=4, eval_every=1, stop_when="heldout_margin>=99"))["identity"] != old


# Held-out scores


def test_scoring_held_out_pairs_leaves_the_weights_as_they_are(train: Callable[..., Adapter]) -> None:
    without = train("without", lora_dropout=0.3)
    scored = train("scored", lora_dropout=0.3, eval_pairs=4, eval_every=1)
    assert weights(without) == weights(scored)
    log = card(scored)["log"]
    assert all(0 <= entry["heldout_accuracy"] <= 1 and "loss" in entry for entry in log)
    assert len({entry["heldout_margin"] for entry in log}) == 3
    assert not any("heldout_margin" in entry for entry in card(without)["log"])


def test_the_held_out_margin_is_what_the_finished_adapter_has(train: Callable[..., Adapter], tiny: Path) -> None:
    """Against a plain forward pass of transformers and PEFT."""
    import torch
    from lapd.plugins import dpo
    from lapd.plugins.contrast import ContrastGenerator

    from lapd.adapters.switching import load_adapters, switch_adapter
    from lapd.files.quiet import quiet_libraries
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base

    adapter = train("scored", eval_pairs=4)
    with quiet_libraries():
        model, tokenizer = load_base(resolve_base(str(tiny)))
        model = load_adapters(model, [adapter])

    def log_odds(row: dict[str, list[int]]) -> float:
        sums = []
        for side in ("chosen_ids", "rejected_ids"):
            ids = torch.tensor([row["prompt_ids"] + row[side]])
            logprobs = model(ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
            sums.append(float(logprobs[-len(row[side]) :].sum()))
        return sums[0] - sums[1]

    rows = [dpo.tokenize(pair, tokenizer) for pair in ContrastGenerator().heldout(get_persona("INFP"), pairs=4)]
    with torch.inference_mode():
        policy = [log_odds(row) for row in rows]
        switch_adapter(model, None)
        margins = [p - log_odds(row) for p, row in zip(policy, rows, strict=True)]
    last = card(adapter)["log"][-1]
    assert last["heldout_margin"] == pytest.approx(sum(margins) / 4, abs=1e-3)
    assert last["heldout_accuracy"] == sum(m > 0 for m in margins) / 4


def test_a_datasets_end_is_held_out_if_asked_for(train: Callable[..., Adapter], tmp_path: Path) -> None:
    pairs = load_pairs(TrainConfig("INFP", pairs=8), get_persona("INFP"))
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    dataset = {"dataset": str(tmp_path / "pairs.jsonl"), "pairs": None}
    assert card(train("all", **dataset, eval_pairs=None))["data"]["pairs"] == 8
    data = card(train("part", **dataset, eval_pairs=3))["data"]
    assert (data["pairs"], data["heldout"]["pairs"]) == (5, 3)
    write_pairs(tmp_path / "pairs.jsonl", pairs[:5])
    assert card(train("five", **dataset))["data"]["digest"] == data["digest"]
    with pytest.raises(DataError, match="--eval-pairs 5 leaves nothing to train on"):
        train("none", **dataset, eval_pairs=5)


def test_training_ends_early_once_the_rule_is_met_also_after_a_kill(
    train: Callable[..., Adapter], capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {"eval_pairs": 4, "eval_every": 1, "epochs": 4.0}
    full = card(train("full", **rule))["log"]
    threshold = full[4]["heldout_margin"]
    stop = next(entry["step"] for entry in full if entry["heldout_margin"] >= threshold)
    rule["stop_when"] = f"heldout_margin >= {threshold!r}"
    capsys.readouterr()
    stopped = train("stopped", **rule)
    assert card(stopped)["settings"]["steps"] == stop < 12
    assert card(stopped)["settings"]["stopped"].startswith(f"at step {stop} of 12")
    assert card(stopped)["log"] == full[:stop]
    assert f"at step {stop} of 12: stopped." in capsys.readouterr().err
    # Killed between the last checkpoint and the finished adapter: it must not go on beyond the rule.
    with (
        mock.patch("lapd.plugins.dpo.save_adapter", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        train("killed", **rule)
    resumed = train("killed", **rule)
    assert weights(resumed) == weights(stopped)
    assert card(resumed)["log"] == card(stopped)["log"]
    assert card(resumed)["settings"] == card(stopped)["settings"]


# What stops a training


def test_a_diverging_training_stops_and_keeps_its_last_good_checkpoint(
    train: Callable[..., Adapter], tmp_path: Path
) -> None:
    with pytest.raises(LapdError, match=r"Training diverged: .* step \d+\. Lower --lr.*is the last good") as caught:
        train("hot", lr=1e36, warmup=0.5, epochs=5.0)
    (kept,) = list(tmp_path.glob("hot.partial/checkpoints/checkpoint-*/lapd_complete"))[-1:]
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "hot").exists()
    import safetensors.torch
    import torch

    newest = max(kept.parent.parent.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    assert str(newest) in str(caught.value)
    tensors = safetensors.torch.load_file(newest / "adapter_model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


@pytest.mark.parametrize(
    ("settings", "advised", "not_advised"),
    [
        ({}, ["--gradient-checkpointing;", "--batch-size 1 --grad-accum 2;", "--load-in-4bit", "--max-length 256"], []),
        ({"gradient_checkpointing": True}, ["--batch-size 1"], ["--gradient-checkpointing;"]),
        ({"batch_size": 1}, ["--gradient-checkpointing"], ["--batch-size"]),
    ],
)
def test_running_out_of_gpu_memory_says_what_to_change(
    train: Callable[..., Adapter], settings: dict[str, Any], advised: list[str], not_advised: list[str]
) -> None:
    import torch

    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    with (
        mock.patch("transformers.Trainer.training_step", side_effect=full),
        pytest.raises(LapdError, match="GPU's memory does not suffice") as caught,
    ):
        train("big", **settings)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert all(text in message for text in advised)
    assert not any(text in message for text in not_advised)


# Several at once


def test_several_adapters_are_those_of_separate_commands_and_load_the_base_once(
    train: Callable[..., Adapter], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lapd.plugins import trl

    configs = [
        TrainConfig(**{"persona": persona, "base": str(tiny), **SETTINGS, "eval_pairs": 2, "control": control})
        for persona, control in (("INFP", None), ("ESTJ", None), ("ENTP", "shuffled"))
    ]
    monkeypatch.setenv("LAPD_CACHE", str(tmp_path / "cache"))
    seen: list[tuple[str, bool]] = []

    def done(adapter: Adapter, trained: bool) -> None:
        seen.append((adapter.name, trained))

    with mock.patch("lapd.plugins.trl.load_base", wraps=trl.load_base) as loaded:
        together = train_adapters(configs, tmp_path / "together", done=done)
        assert loaded.call_count == 1
        again = train_adapters(configs, tmp_path / "together", done=done)
        assert loaded.call_count == 1
    assert again == together
    assert seen == [(c.name, trained) for trained in (True, False) for c in configs]
    for config, adapter in zip(configs, together, strict=True):
        # With a cache of its own: who computed the reference must not show in the last bit.
        monkeypatch.setenv("LAPD_CACHE", str(tmp_path / f"cache-{config.name}"))
        alone = train_adapter(config, tmp_path / "alone" / config.name)
        assert weights(alone) == weights(adapter)
        assert card(alone)["log"] == card(adapter)["log"]
        assert (alone.path / "adapter_config.json").read_text() == (adapter.path / "adapter_config.json").read_text()
    with pytest.raises(UsageError, match="Two adapters would be called 'INFP'"):
        train_adapters([configs[0], configs[0]], tmp_path / "twice")


def test_what_another_process_is_at_is_left_to_it(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import fcntl
    import threading

    monkeypatch.setattr("lapd.units.BUSY_SECONDS", 0.05)
    configs = [TrainConfig(**{"persona": p, "base": str(tiny), **SETTINGS}) for p in ("INFP", "ESTJ")]
    (tmp_path / "INFP.partial").mkdir()
    held = (tmp_path / "INFP.partial/.lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    order: list[str] = []

    def done(adapter: Adapter, trained: bool) -> None:
        order.append(adapter.name)
        if adapter.name == "ESTJ":
            threading.Timer(0.5, held.close).start()

    adapters = train_adapters(configs, tmp_path, done=done)
    assert order == ["ESTJ", "INFP"]
    assert [adapter.name for adapter in adapters] == ["INFP", "ESTJ"]
    assert "Another process is at the trainings that are left (1): waiting for it." in capsys.readouterr().err


def test_nothing_is_trained_if_one_of_several_cannot_be(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "out/ESTJ").mkdir(parents=True)
    configs = [TrainConfig(**{"persona": p, "base": str(tiny), **SETTINGS}) for p in ("INFP", "ESTJ")]
    with pytest.raises(UsageError, match="no adapter of LAPD's"):
        train_adapters(configs, tmp_path / "out")
    assert not (tmp_path / "out/INFP").exists()


def test_several_personas_on_the_command_line(invoke: Callable[..., Result], tiny: Path, tmp_path: Path) -> None:
    args = ("--base", tiny, "--pairs", 4, "--batch-size", 2, "--epochs", 1, "--precision", "float32", "-o", tmp_path)
    first = invoke("train", "infp", "ESTJ", *args, "--lr", "2e-3")
    assert first.exit_code == 0, first.output
    assert "INFP: trained in " in first.stderr and "ESTJ: trained in " in first.stderr
    assert [line.split()[0] for line in first.stdout.splitlines()] == ["adapter", "INFP", "ESTJ"]
    again = invoke("train", "INFP", "ESTJ", *args, "--lr", "2e-3", "--json")
    assert [record["run_card"]["persona"] for record in json.loads(again.stdout)] == ["INFP", "ESTJ"]
    assert again.stderr.count("is there already") == 2
    for wrong, message in (
        (("INFP", "--all"), "--all trains every persona"),
        ((), "Name a persona"),
        (("INFP", "ESTJ", "--dataset", "x.jsonl"), "--dataset holds the pairs of one persona"),
    ):
        refused = invoke("train", *wrong)
        assert refused.exit_code == 2
        assert message in refused.stderr
