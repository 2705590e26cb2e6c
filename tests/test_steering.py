"""Steering vectors: the file that lm-eval's `steered` takes, and an adapter like any other for LAPD."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from lora import make_lora, make_peft

from lapd.adapters.adapter import Adapter, base_of, resolve_adapter, resolve_adapters
from lapd.adapters.bake import bake_adapters
from lapd.adapters.merge import merge_adapters
from lapd.adapters.steering import STEERING, read_steering, write_steering
from lapd.adapters.switching import load_adapters, prepared, switch_adapter
from lapd.answering.canary import check_adapters
from lapd.answering.lm import PackedLM
from lapd.answering.subjects import LoadedSubject
from lapd.catalog.find import find_task
from lapd.catalog.live import build_requests, load_task
from lapd.errors import ModelError, UsageError
from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base
from lapd.pluginmanager import lookup
from lapd.testing.tiny import SMALL, make_tiny_adapter, make_tiny_base
from lapd.testing.trainers import assert_trainer
from lapd.train.choice import choose_trainer
from lapd.train.config import TrainConfig
from lapd.train.plan import plan_trainings
from lapd.train.training import train_adapters

IDS = torch.arange(5, 25)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return resolve_base(str(make_tiny_base(tmp_path_factory.mktemp("steering") / "base")))


@pytest.fixture(scope="module")
def steer(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """A vector of twelve pairs, made by the trainer."""
    folder = tmp_path_factory.mktemp("made") / "steer"
    return make_tiny_adapter(base.path, folder, trainer="steering", pairs=12, eval_pairs=6)


@pytest.fixture(scope="module")
def strong(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    """A vector that moves scores by far more than rounding does."""
    folder = tmp_path_factory.mktemp("strong") / "strong"
    folder.mkdir()
    write_steering(folder, "layers.0", torch.randn(64, generator=torch.Generator().manual_seed(1)), 1.5)
    return resolve_adapter(folder)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


def requests() -> list[Any]:
    return build_requests(load_task(find_task("situations")), limit=6)


def scores(lm: Any) -> list[float]:
    return [score for score, _ in lm.loglikelihood(requests(), disable_tqdm=True)]


def farthest(ours: list[float], theirs: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def test_the_trainer_keeps_the_contract(tmp_path: Path) -> None:
    assert_trainer(lookup("trainers", "steering"), tmp_path)


def test_a_stock_lm_eval_takes_the_file_and_gives_the_scores_that_packed_rows_give(
    base: BaseModel, steer: Adapter, strong: Adapter
) -> None:
    from lm_eval.models.hf_steered import SteeredModel

    for adapter in (steer, strong):
        subject = LoadedSubject(base, [adapter], "float32", batch_size=4)
        plain = scores(subject.lm)
        subject.switch(adapter)
        assert subject.lm.packs
        ours = scores(subject.lm)
        path = str(adapter.path / STEERING)
        stock = SteeredModel(str(base.path), steer_path=path, device="cpu", dtype="float32", batch_size=2)
        assert farthest(ours, scores(stock)) < 1e-3
        assert farthest(ours, plain) > 1e-2
        subject.switch(None)
        assert scores(subject.lm) == plain, "to the last digit"


def test_packed_rows_score_as_plain_ones_do(base: BaseModel, strong: Adapter) -> None:
    subject = LoadedSubject(base, [strong.at(2)], "float32", batch_size=4)
    subject.switch(strong.at(2))
    packed = scores(subject.lm)
    subject.lm.packs = False
    assert farthest(packed, scores(subject.lm)) < 1e-3


def test_a_strength_multiplies_the_vector(base: BaseModel, strong: Adapter, tmp_path: Path) -> None:
    (module, vector), *_ = read_steering(strong.path).items()
    model = load_base(base)[0]
    bare = logits(model)
    for strength in (-1.0, 0.5, 2.0):
        switch_adapter(model, strong.at(strength))
        ours = logits(model)
        switch_adapter(model, None)
        folder = tmp_path / f"{strength}"
        folder.mkdir()
        write_steering(folder, module, vector, strength)
        switch_adapter(model, resolve_adapter(folder))
        assert torch.equal(logits(model), ours)
        switch_adapter(model, None)
        assert torch.equal(logits(model), bare)
    with pytest.raises(UsageError, match="at strength 0"):
        strong.at(0)


def test_a_vector_of_zeros_is_the_base(base: BaseModel, tmp_path: Path) -> None:
    write_steering(tmp_path, "layers.1", torch.zeros(64), 1.0)
    model = load_base(base)[0]
    bare = logits(model)
    switch_adapter(model, resolve_adapter(tmp_path))
    assert torch.equal(logits(model), bare)
    with pytest.raises(ModelError, match="does not change the model's logits"):
        check_adapters(model, [resolve_adapter(tmp_path)])


def test_vectors_and_adapters_take_turns_without_a_trace(base: BaseModel, strong: Adapter, tmp_path: Path) -> None:
    import peft

    lora = resolve_adapter(make_lora(tmp_path / "lora", base, seed=1))
    prompts = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    prompt = resolve_adapter(make_peft(tmp_path / "prompt", base.path, prompts))
    arms = [None, strong, lora, strong.at(-0.5), prompt, lora.at(2), strong]
    alone = []
    for arm in arms:
        model = load_adapters(load_base(base)[0], [arm] if arm else [])
        alone.append(logits(model))
    model = check_adapters(load_base(base)[0], [arm for arm in arms if arm], fold=False)
    for n in (1, 2, 3, 0, 4, 1, 0, 3, 5, 6, 2, 4, 0):
        model = prepared(model, arms[n])
        switch_adapter(model, arms[n])
        assert torch.equal(logits(model), alone[n]), arms[n]


def test_the_opposite_control_is_minus_the_vector_at_the_same_layer(
    base: BaseModel, steer: Adapter, tmp_path: Path
) -> None:
    opposite = make_tiny_adapter(
        base.path, tmp_path / "opposite", trainer="steering", pairs=12, eval_pairs=6, control="opposite"
    )
    (module, vector), *_ = read_steering(steer.path).items()
    (other, minus), *_ = read_steering(opposite.path).items()
    assert module == other and opposite.control == "opposite"
    assert torch.allclose(vector, -minus, atol=1e-6)


def test_a_shuffled_control_is_another_vector(base: BaseModel, steer: Adapter, tmp_path: Path) -> None:
    from lapd.adapters.card import model_card

    shuffled = make_tiny_adapter(base.path, tmp_path / "s", trainer="steering", pairs=12, control="shuffled")
    assert shuffled.digest != steer.digest and shuffled.card
    assert "a control (shuffled)" in model_card(shuffled.card)


def test_the_run_card_and_the_model_card_say_what_was_made(steer: Adapter) -> None:
    from lapd.adapters.outcome import told

    card = steer.card
    assert card and card["trainer"]["name"] == "steering" and card["persona_record"]["code"] == "INFP"
    assert card["settings"]["steered"] in ("layers.0", "layers.1") and card["settings"]["lr"] is None
    assert card["data"]["pairs"] == 12 and card["data"]["heldout"]["pairs"] == 6
    assert {"heldout_margin", "heldout_accuracy"} <= card["log"][-1].keys()
    assert told(card, "steer")[0].startswith(f"Steers {card['settings']['steered']} of 2 layers")
    page = (steer.path / "README.md").read_text()
    assert "A steering vector" in page and "LoRA" not in page and "library_name: lm-eval" in page
    tried = json.loads((steer.path / "layers.json").read_text())
    assert {entry["module"] for entry in tried} == {"layers.0", "layers.1"}


def test_the_same_command_finds_it_and_makes_it_alike(base: BaseModel, steer: Adapter, tmp_path: Path) -> None:
    again = make_tiny_adapter(base.path, tmp_path / "again", trainer="steering", pairs=12, eval_pairs=6)
    assert again.digest == steer.digest
    before = (tmp_path / "again" / STEERING).stat().st_mtime_ns
    make_tiny_adapter(base.path, tmp_path / "again", trainer="steering", pairs=12, eval_pairs=6)
    assert (tmp_path / "again" / STEERING).stat().st_mtime_ns == before


def test_several_in_one_command_are_what_each_is_alone(
    base: BaseModel, steer: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lapd.plugins import activations

    passes = []
    plain = activations.response_mean
    monkeypatch.setattr(activations, "response_mean", lambda *given: passes.append(1) or plain(*given))
    settings: dict[str, Any] = {**SMALL, "base": str(base.path), "trainer": "steering", "pairs": 12, "eval_pairs": 6}
    configs = [TrainConfig(code, **settings) for code in ("ESTJ", "INFP")]
    found = train_adapters(configs, tmp_path / "several")
    assert found[1].digest == steer.digest
    assert len(passes) == 24, "they share their poles' responses"


def test_auto_neither_chooses_it_nor_takes_one_that_is_there_for_an_adapter(base: BaseModel, tmp_path: Path) -> None:
    choice = choose_trainer(TrainConfig("INFP"))
    assert choice.trainer.name != "steering" and "steering" not in choice.why
    make_tiny_adapter(base.path, tmp_path / "INFP", trainer="steering")
    with pytest.raises(UsageError, match="trained with other settings"):
        make_tiny_adapter(base.path, tmp_path / "INFP")


def test_a_plan_counts_pairs_and_not_epochs(base: BaseModel, steer: Adapter, tmp_path: Path) -> None:
    shutil.copytree(steer.path, tmp_path / "made")
    configs = [TrainConfig("INFP", base=str(base.path), trainer="steering", pairs=n, batch_size=2) for n in (12, 24)]
    plan = plan_trainings([(config, tmp_path / f"new{config.pairs}") for config in configs])
    assert [training.steps for training in plan.trainings] == [6, 12]
    took = (steer.card or {})["seconds"]
    assert plan.trainings[0].seconds_left == pytest.approx(took, rel=0.01)
    assert plan.trainings[1].seconds_left == pytest.approx(2 * took, rel=0.01)


def test_the_commands_take_its_folder_and_strength(
    base: BaseModel, steer: Adapter, tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    run = tmp_path / "run"
    given = ["--adapter", f"{steer.path}@0.5,2", "--adapter", str(steer.path.parent / "*"), "--base", str(base.path)]
    done = invoke("eval", *given, "--tasks", "situations", "--limit", "2", "--arms", "base,adapter", "-o", str(run))
    assert done.exit_code == 0, done.output
    cells = [json.loads(file.read_text()) for file in run.glob("cells/*/result.json")]
    assert sorted(cell["arm"] for cell in cells) == ["base", "steer", "steer@0.5", "steer@2"]
    assert all(cell["packed"] for cell in cells)
    assert {cell["cell"]["adapter"] for cell in cells} == {None, steer.digest}


def test_what_cannot_take_it_says_so_in_one_line(base: BaseModel, steer: Adapter, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is a steering vector: only LoRA adapters can be merged\. Give it as it is"):
        merge_adapters([steer], tmp_path / "merged")
    with pytest.raises(ModelError, match="is a steering vector: only LoRA adapters can be merged"):
        bake_adapters([steer], base, tmp_path / "baked")
    for text in (str(steer.path), f"{steer.path}@2"):
        with pytest.raises(ModelError, match=r"which PEFT cannot load\. Take --model steered: pretrained="):
            PackedLM(str(base.path), peft=text)
    folder = tmp_path / "cardless"
    folder.mkdir()
    shutil.copy(steer.path / STEERING, folder)
    with pytest.raises(ModelError, match=r"does not name a base model\. Give --base"):
        base_of(resolve_adapter(folder))
    assert lookup("trainers", "steering").refuses(TrainConfig("INFP", stop_when="heldout_accuracy>=0.9"))


def entry(**parts: Any) -> dict[str, Any]:
    whole = {"steering_vector": torch.ones(64), "steering_coefficient": 1.0, "action": "add", "bias": None}
    return {"layers.0": {**whole, "head_index": None, **parts}}


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda file: file.write_bytes(b""), "is empty"),
    "pointer": (lambda file: file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "text": (lambda file: file.write_text("a vector"), "holds no weights in the form"),
    "cut": (lambda file: torch.save(entry(), file) or file.write_bytes(file.read_bytes()[:700]), "is cut off"),
    "code": (lambda file: torch.save({"layers.0": Path("x")}, file), "cannot be read as a steering file"),
    "list": (lambda file: torch.save([torch.ones(64)], file), "names no module"),
    "bare": (lambda file: torch.save({"layers.0": torch.ones(64)}, file), "there is no steering_vector"),
    "clamp": (lambda file: torch.save(entry(action="clamp"), file), "the action is 'clamp'"),
    "bias": (lambda file: torch.save(entry(bias=torch.ones(64)), file), "has a bias"),
    "head": (lambda file: torch.save(entry(head_index=1), file), "has a head_index"),
    "matrix": (lambda file: torch.save(entry(steering_vector=torch.ones(2, 64)), file), "is no vector"),
    "nan": (lambda file: torch.save(entry(steering_vector=torch.full((64,), torch.nan)), file), "no numbers"),
    "width": (lambda file: torch.save(entry(steering_vector=torch.ones(9)), file), "has 9 numbers"),
    "module": (lambda file: torch.save({"h.0": entry()["layers.0"]}, file), "has no module 'h.0'"),
}
"""Files that are no steering vectors of the tiny base, and what is said of them."""


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_used_is_told_in_one_line(kind: str, base: BaseModel, tmp_path: Path) -> None:
    write, said = BAD[kind]
    write(tmp_path / STEERING)
    with pytest.raises(ModelError, match=said) as caught:
        LoadedSubject(base, [resolve_adapter(tmp_path)], "float32", 1)
    assert "\n" not in str(caught.value)


def test_a_folder_with_both_kinds_of_adapter_is_refused(base: BaseModel, steer: Adapter, tmp_path: Path) -> None:
    folder = make_lora(tmp_path / "both", base, seed=1)
    shutil.copy(steer.path / STEERING, folder)
    with pytest.raises(ModelError, match="holds two adapters"):
        resolve_adapter(folder)


def test_a_vector_that_changes_during_a_run_is_refused(base: BaseModel, tmp_path: Path) -> None:
    write_steering(tmp_path, "layers.0", torch.ones(64), 1.0)
    (adapter,) = resolve_adapters([str(tmp_path)])
    model = load_base(base)[0]
    switch_adapter(model, adapter)
    switch_adapter(model, None)
    write_steering(tmp_path, "layers.0", torch.ones(64), 2.0)
    with pytest.raises(ModelError, match="has changed since it was found"):
        switch_adapter(model, adapter)
