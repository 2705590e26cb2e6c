"""Adapters of every kind that PEFT writes: each computes what plain PEFT computes with it, or is refused."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from lora import make_peft
from peft import LoraConfig

from lapd.adapters.adapter import Adapter, resolve_adapter
from lapd.adapters.merge import merge_adapters
from lapd.adapters.switching import load_adapters, prepared, switch_adapter
from lapd.answering.canary import check_adapters
from lapd.answering.subjects import LoadedSubject
from lapd.errors import ModelError
from lapd.models.base import resolve_base
from lapd.models.loading import load_base
from lapd.testing.tiny import make_tiny_base

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")

QV = ["q_proj", "v_proj"]
TASK = {"task_type": "CAUSAL_LM"}
IDS = torch.tensor([[5, 17, 300, 42, 7, 100, 200]])


def lora(**settings: Any) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": QV, **TASK, **settings})


SCALED: dict[str, Callable[[], Any]] = {
    "lora": lora,
    "rslora": lambda: lora(use_rslora=True, r=8),
    "patterns": lambda: lora(rank_pattern={"v_proj": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 31}),
    "adalora": lambda: peft.AdaLoraConfig(init_r=6, target_r=3, total_step=10, lora_alpha=5, target_modules=QV, **TASK),
    "loha": lambda: peft.LoHaConfig(r=4, alpha=7, target_modules=QV, **TASK),
    "lokr": lambda: peft.LoKrConfig(r=4, alpha=7, target_modules=QV, **TASK),
    "embedding": lambda: lora(target_modules=["q_proj", "embed_tokens"]),
    "head": lambda: lora(target_modules=["q_proj", "lm_head"]),
    "lora_bias": lambda: lora(lora_bias=True),
    "parameters": lambda: lora(target_parameters=["o_proj.weight"]),
    "alora": lambda: lora(alora_invocation_tokens=[100, 200]),
}
"""Kinds whose update is in proportion to a scale."""

UNSCALED: dict[str, Callable[[], Any]] = {
    "dora": lambda: lora(use_dora=True),
    "modules_to_save": lambda: lora(modules_to_save=["lm_head", "embed_tokens"]),
    "bias": lambda: lora(bias="all"),
    "lora_only": lambda: lora(bias="lora_only"),
    "tokens": lambda: lora(trainable_token_indices=[100, 200]),
    "ia3": lambda: peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], **TASK),
    "vera": lambda: peft.VeraConfig(r=8, target_modules=["q_proj", "o_proj"], **TASK),
    "oft": lambda: peft.OFTConfig(oft_block_size=32, target_modules=QV, **TASK),
    "prompt": lambda: peft.PromptTuningConfig(num_virtual_tokens=3, **TASK),
    "prefix": lambda: peft.PrefixTuningConfig(num_virtual_tokens=3, **TASK),
    "p_tuning": lambda: peft.PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=16, **TASK),
}
"""Kinds that there is no half of."""

KINDS = SCALED | UNSCALED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tied base, an untied one with biases, and an adapter of each kind on the latter."""
    folder = tmp_path_factory.mktemp("kinds")
    make_tiny_base(folder / "tied")
    make_tiny_base(folder / "base", tie_word_embeddings=False, attention_bias=True, mlp_bias=True)
    for name, config in KINDS.items():
        make_peft(folder / name, folder / "base", config())
    return folder


def bare(folder: Path, name: str = "base") -> Any:
    return load_base(resolve_base(str(folder / name)))[0]


def logits(model: Any) -> torch.Tensor:
    """On a few tokens; without those of a prompt that an adapter puts in front."""
    with torch.inference_mode():
        return model(input_ids=IDS, use_cache=False).logits[:, -IDS.shape[1] :]


def plain_peft(folder: Path, adapter: Path, strength: float = 1, base: str = "base") -> Any:
    model = peft.PeftModel.from_pretrained(bare(folder, base), adapter).eval()
    for module in model.modules():
        if isinstance(scaling := getattr(module, "scaling", None), dict):
            module.scaling = {name: scale * strength for name, scale in scaling.items()}
    return model


@pytest.mark.parametrize("strength", [1, 0.5, -1])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_computes_what_plain_peft_does_at_each_strength_that_it_has(
    folder: Path, name: str, strength: float
) -> None:
    adapter = resolve_adapter(folder / name)
    if name in UNSCALED and strength != 1:
        with pytest.raises(ModelError, match=r"it has no strength other than 1\.$"):
            adapter.at(strength)
        return
    base = logits(bare(folder))
    wanted = logits(plain_peft(folder, folder / name, strength))
    assert (wanted - base).abs().max() > 0.01
    model = load_adapters(bare(folder), [adapter.at(strength)])
    for fold in (False, True):
        switch_adapter(model, adapter.at(strength), fold)
        assert (logits(model) - wanted).abs().max() < 1e-5 * wanted.abs().max()
        switch_adapter(model, None)
        assert torch.equal(logits(model), base)


def test_adapters_of_every_kind_take_turns_on_one_model(folder: Path) -> None:
    base = logits(bare(folder))
    adapters = [resolve_adapter(folder / name) for name in KINDS]
    wanted = {adapter.name: logits(load_adapters(bare(folder), [adapter])) for adapter in adapters}
    model = check_adapters(bare(folder), adapters)
    for adapter in [*adapters, None, *adapters[::-3]]:
        model = prepared(model, adapter)
        switch_adapter(model, adapter)
        assert torch.equal(logits(model), wanted[adapter.name] if adapter else base), adapter


REPLACING: dict[str, tuple[Callable[[], Any], str]] = {
    "pissa": (lambda: lora(init_lora_weights="pissa"), "path_initial_model_for_weight_conversion"),
    "niter": (lambda: lora(init_lora_weights="pissa_niter_4"), "path_initial_model_for_weight_conversion"),
    "olora": (lambda: lora(init_lora_weights="olora"), "path_initial_model_for_weight_conversion"),
    "replicated": (lambda: lora(layer_replication=[(0, 2), (1, 2)]), "merge_and_unload"),
    "kasa": (lambda: lora(kasa_config=peft.KasaConfig()), "merge_and_unload"),
}


@pytest.mark.parametrize("name", REPLACING)
def test_an_adapter_that_changes_the_bases_weights_is_refused_with_a_word_on_how_to_convert_it(
    folder: Path, tmp_path: Path, name: str
) -> None:
    config, hint = REPLACING[name]
    adapter = resolve_adapter(make_peft(tmp_path / "A", folder / "base", config()))
    for load in (
        lambda: LoadedSubject(resolve_base(str(folder / "base")), [adapter], "float32", 1),
        lambda: load_adapters(bare(folder), [adapter]),
        lambda: merge_adapters([adapter], tmp_path / "sum", resolve_base(str(folder / "base"))),
    ):
        with pytest.raises(ModelError, match=hint) as caught:
            load()
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("start", ["corda", "loftq", "lora_ga"])
def test_so_are_the_ways_that_peft_cannot_make_here(folder: Path, tmp_path: Path, start: str) -> None:
    shutil.copytree(folder / "lora", tmp_path / "A")
    config = json.loads((tmp_path / "A/adapter_config.json").read_text())
    (tmp_path / "A/adapter_config.json").write_text(json.dumps(config | {"init_lora_weights": start}))
    with pytest.raises(ModelError, match=f"begins as '{start}': PEFT changes the base's own weights"):
        load_adapters(bare(folder), [resolve_adapter(tmp_path / "A")])


def test_a_converted_pissa_adapter_is_a_lora_adapter_like_any_other(folder: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(bare(folder), lora(init_lora_weights="pissa"))
        model.peft_config["default"].init_lora_weights = True  # what PEFT's manual says to do before saving
        model.save_pretrained(tmp_path / "begin")
        model.peft_config["default"].init_lora_weights = "pissa"
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.add_(0.05)
        trained = logits(model.eval())
        model.save_pretrained(tmp_path / "A", path_initial_model_for_weight_conversion=str(tmp_path / "begin"))
    adapter = resolve_adapter(tmp_path / "A")
    model = check_adapters(bare(folder), [adapter])
    switch_adapter(model, adapter)
    assert (logits(model) - trained).abs().max() < 1e-3


def test_the_canary_holds_the_base_against_what_it_was_before_loading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = peft.PeftModel.from_pretrained

    class Leaky:
        @staticmethod
        def from_pretrained(model: Any, *args: Any, **kwargs: Any) -> Any:
            loaded = original(model, *args, **kwargs)
            with torch.no_grad():
                loaded.get_base_model().model.norm.weight.mul_(1.01)
            return loaded

    monkeypatch.setattr(peft, "PeftModel", Leaky)
    with pytest.raises(ModelError, match="does not bring the base's logits back"):
        check_adapters(bare(folder), [resolve_adapter(folder / "lora")])


def requests(words: str, kind: str, *more: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    parts = words.split()
    texts = [(" ".join(parts[:n]), *(more or (" " + " ".join(parts[n : n + 3]),))) for n in range(2, 9)]
    return [Instance(request_type=kind, doc={}, arguments=args, idx=i) for i, args in enumerate(texts)]


WORDS = "the old house by the river had seven windows and a red door"


@pytest.mark.parametrize("name", ["lora", "adalora", "alora", "prompt", "prefix", "p_tuning"])
def test_an_evaluation_asks_the_adapter_whatever_its_kind(folder: Path, name: str) -> None:
    from lm_eval.models.huggingface import HFLM

    adapter = resolve_adapter(folder / name)
    subject = LoadedSubject(resolve_base(str(folder / "base")), [adapter], "float32", 4)
    base_packs = subject.lm.packs
    subject.switch(adapter)
    plain = HFLM(plain_peft(folder, folder / name), tokenizer=subject.lm.tokenizer, batch_size=1)
    ours, theirs = (lm.loglikelihood(requests(WORDS, "loglikelihood"), disable_tqdm=True) for lm in (subject.lm, plain))
    assert [a for a, _ in ours] == pytest.approx([b for b, _ in theirs], abs=1e-3)
    asked = {"until": ["zzz"], "max_gen_toks": 6, "do_sample": False}
    ours, theirs = (
        lm.generate_until(requests(WORDS, "generate_until", asked), disable_tqdm=True) for lm in (subject.lm, plain)
    )
    assert ours == theirs
    assert base_packs and subject.lm.packs == (name in ("lora", "adalora"))
    subject.switch(None)
    assert subject.lm.packs


@pytest.mark.parametrize(
    "config",
    [
        lambda: lora(target_modules=["q_proj", "lm_head"]),
        lambda: lora(modules_to_save=["lm_head", "embed_tokens"]),
        lambda: lora(trainable_token_indices=[100, 200]),
        lambda: lora(target_modules=["q_proj", "embed_tokens"]),
    ],
    ids=["head", "modules_to_save", "tokens", "embedding"],
)
def test_a_tied_head_is_evaluated_with_what_an_adapter_makes_of_it(
    folder: Path, tmp_path: Path, config: Callable[[], Any]
) -> None:
    """lm-eval ties the weights again, at which PEFT's layers raised; they are tied since they were loaded."""
    adapter = resolve_adapter(make_peft(tmp_path / "A", folder / "tied", config()))
    subject = LoadedSubject(resolve_base(str(folder / "tied")), [adapter], "float32", 4)
    subject.switch(adapter)
    asked = requests(WORDS, "loglikelihood")
    ours = [value for value, _ in subject.lm.loglikelihood(asked, disable_tqdm=True)]
    plain, tokenizer = plain_peft(folder, tmp_path / "A", base="tied"), subject.lm.tokenizer
    for instance, value in zip(asked, ours, strict=True):
        context, continuation = (tokenizer(text)["input_ids"] for text in instance.args)
        with torch.inference_mode():
            found = plain(torch.tensor([context + continuation])).logits[0, len(context) - 1 : -1].log_softmax(-1)
        wanted = found.gather(-1, torch.tensor(continuation)[:, None]).sum()
        assert value == pytest.approx(float(wanted), abs=1e-3)


def test_an_adapter_for_certain_tokens_only_is_tried_on_them(folder: Path, tmp_path: Path) -> None:
    config = peft.TrainableTokensConfig(token_indices=[900, 901], target_modules=["embed_tokens"], **TASK)
    adapter = resolve_adapter(make_peft(tmp_path / "A", folder / "base", config))
    check_adapters(bare(folder), [adapter])


def test_an_adapter_that_was_trained_again_meanwhile_is_not_taken_for_the_one_that_was_found(
    folder: Path, tmp_path: Path
) -> None:
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        shutil.copytree(folder / "lora", tmp_path / name)
    adapters = [resolve_adapter(tmp_path / name) for name in names]
    model = check_adapters(bare(folder), adapters)  # the first is not held any more
    shutil.rmtree(tmp_path / "a")
    shutil.copytree(folder / "rslora", tmp_path / "a")
    with pytest.raises(ModelError, match=r"Adapter a \(.*\) has changed since it was found"):
        switch_adapter(model, adapters[0])
    with pytest.raises(ModelError, match="has changed since it was found"):
        merge_adapters(adapters[:1], tmp_path / "sum", resolve_base(str(folder / "base")))
    shutil.rmtree(tmp_path / "b")
    model_without_b = load_adapters(bare(folder), [adapters[2]])
    for load in (lambda: load_adapters(bare(folder), [adapters[1]]), lambda: prepared(model_without_b, adapters[1])):
        with pytest.raises(ModelError, match=r"Adapter b \(.*\) has changed since it was found"):
            load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {k: v for k, v in c.items() if k != "peft_type"}, r"adapter_config\.json has no peft_type"),
        (lambda c: c | {"peft_type": "NEWEST"}, "unknown peft_type 'NEWEST'"),
        (lambda c: [], "is no configuration: it holds a list"),
        (lambda c: None, "is no configuration: it holds nothing"),
    ],
)
def test_a_configuration_that_peft_does_not_know_is_refused_in_a_line(
    folder: Path, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    shutil.copytree(folder / "lora", tmp_path / "A")
    config = json.loads((tmp_path / "A/adapter_config.json").read_text())
    (tmp_path / "A/adapter_config.json").write_text(json.dumps(change(config)))
    with pytest.raises(ModelError, match=message):
        load_adapters(bare(folder), [resolve_adapter(tmp_path / "A")])


def test_a_misfit_says_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    make_tiny_base(tmp_path / "wider", hidden_size=32)
    with pytest.raises(ModelError, match=r"does not fit this base model: .*size mismatch for .*q_proj"):
        load_adapters(load_base(resolve_base(str(tmp_path / "wider")))[0], [resolve_adapter(folder / "lora")])


def test_two_that_cannot_lie_side_by_side_are_named(folder: Path) -> None:
    adapters: list[Adapter] = [resolve_adapter(folder / name) for name in ("lora", "adalora")]
    with pytest.raises(ModelError, match="Adapters lora and adalora cannot be loaded side by side"):
        load_adapters(bare(folder), adapters)
