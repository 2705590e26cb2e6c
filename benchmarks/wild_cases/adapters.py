"""Adapters of every kind, and what has happened to their files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wild_cases import command, kind, problem, refused, without_warnings

Case = tuple[str, str]

QV = ["q_proj", "v_proj"]
TASK = {"task_type": "CAUSAL_LM"}


def lora(**settings: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": QV, **TASK, **settings})


def scaled_kinds() -> dict[str, Any]:
    """Configurations of kinds whose update is in proportion to a scale."""
    import peft

    return {
        "LoRA": lora(),
        "rsLoRA": lora(use_rslora=True, r=8),
        "rank and alpha patterns": lora(rank_pattern={"v_proj": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 31}),
        "AdaLoRA": peft.AdaLoraConfig(init_r=6, target_r=3, total_step=10, target_modules=QV, **TASK),
        "LoHa": peft.LoHaConfig(r=4, alpha=7, target_modules=QV, **TASK),
        "LoKr": peft.LoKrConfig(r=4, alpha=7, target_modules=QV, **TASK),
        "embedding": lora(target_modules=["q_proj", "embed_tokens"]),
        "head": lora(target_modules=["q_proj", "lm_head"]),
        "LoRA with a bias of its own": lora(lora_bias=True),
        "parameters": lora(target_parameters=["o_proj.weight"]),
    }


def other_kinds() -> dict[str, Any]:
    """Configurations of kinds that there is no half of."""
    import peft

    return {
        "DoRA": lora(use_dora=True),
        "modules_to_save": lora(modules_to_save=["lm_head", "embed_tokens"]),
        "bias": lora(bias="all"),
        "token indices": lora(trainable_token_indices=[100, 200]),
        "IA3": peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], **TASK),
        "VeRA": peft.VeraConfig(r=8, target_modules=["q_proj", "o_proj"], **TASK),
        "OFT": peft.OFTConfig(oft_block_size=32, target_modules=QV, **TASK),
        "prompt tuning": peft.PromptTuningConfig(num_virtual_tokens=3, **TASK),
        "prefix tuning": peft.PrefixTuningConfig(num_virtual_tokens=3, **TASK),
        "p-tuning": peft.PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=16, **TASK),
    }


def make_adapter(folder: Path, base: Path, config: Any) -> Path:
    """An adapter as others make them: everything that it trains is moved at random."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with without_warnings():
        torch.manual_seed(1)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder, save_embedding_layers=False)
    return folder


WORDS = ["the", "old", "house", "by", "the", "river", "had", "seven", "windows", "and", "a", "red", "door"] * 12


def asked(kind_of: str, lengths: tuple[int, ...], *more: Any) -> list[Any]:
    from lm_eval.api.instance import Instance

    texts = [
        (" ".join(WORDS[k : k + n]), *(more or (" " + " ".join(WORDS[k : k + 3]),))) for k, n in enumerate(lengths)
    ]
    return [Instance(request_type=kind_of, doc={}, arguments=args, idx=i) for i, args in enumerate(texts)]


def answers(lm: Any, lengths: tuple[int, ...]) -> tuple[list[float], list[str]]:
    """Log-likelihoods and greedy texts."""
    scores = [value for value, _ in lm.loglikelihood(asked("loglikelihood", lengths), disable_tqdm=True)]
    settings = {"until": ["zzz"], "max_gen_toks": 4, "do_sample": False}
    return scores, lm.generate_until(asked("generate_until", lengths, settings), disable_tqdm=True)


def unlike(ours: tuple[list[float], list[str]], theirs: tuple[list[float], list[str]]) -> str:
    """What is not the same."""
    worst = max(abs(a - b) for a, b in zip(ours[0], theirs[0], strict=True))
    texts = "" if ours[1] == theirs[1] else f" texts {ours[1]} instead of {theirs[1]}"
    return (f"{worst:.2g} nats apart" if worst > 1e-3 else "") + texts


def plain_peft(base: Path, adapter: Path, strength: float) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with without_warnings():
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).eval()
    for module in model.modules():
        if isinstance(scaling := getattr(module, "scaling", None), dict):
            module.scaling = {name: scale * strength for name, scale in scaling.items()}
    model.tie_weights = lambda *_, **__: None  # lm-eval's own would raise at a tied output
    return model


@kind("An adapter of every kind is evaluated as plain PEFT computes it, at each strength that it has", slow=True)
def adapters_of_every_kind(folder: Path) -> Iterator[Case]:
    from lm_eval.models.huggingface import HFLM

    from lapd.adapters.adapter import resolve_adapter
    from lapd.answering.subjects import LoadedSubject
    from lapd.models.base import resolve_base
    from lapd.testing.tiny import make_tiny_base

    bases = {
        "untied with biases": make_tiny_base(folder / "untied", tie_word_embeddings=False, attention_bias=True),
        "tied": make_tiny_base(folder / "tied"),
    }
    scaled = scaled_kinds()
    for what, base in bases.items():
        bare: Any = None
        for name, config in {**scaled, **other_kinds()}.items():
            place = make_adapter(folder / what / name.replace(" ", "_"), base, config)
            found = resolve_adapter(place)
            for strength in (1, 0.5, -1):
                label = f"{name} at {strength} on a base that is {what}"
                if name not in scaled and strength != 1:
                    yield label, problem(lambda: found.at(strength), "it has no strength")  # noqa: B023
                    continue
                with without_warnings():
                    subject = LoadedSubject(resolve_base(str(base)), [found], "float32", 4)
                    bare = bare or answers(subject.lm, (2, 5, 9))
                    subject.switch(found.at(strength))
                    ours = answers(subject.lm, (2, 5, 9))
                    plain = HFLM(plain_peft(base, place, strength), tokenizer=subject.lm.tokenizer, batch_size=1)
                    wrong = unlike(ours, answers(plain, (2, 5, 9)))
                    subject.switch(None)
                    left = unlike(answers(subject.lm, (2, 5, 9)), bare)
                yield label, wrong or (left and f"the base afterwards: {left}")


@kind("An adapter that changes its base, or that PEFT does not know, is refused in a line", slow=True)
def refused_adapters(folder: Path) -> Iterator[Case]:
    import peft

    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.kinds import check_loadable
    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    for label, config in (
        ("PiSSA", lora(init_lora_weights="pissa")),
        ("PiSSA by iterations", lora(init_lora_weights="pissa_niter_4")),
        ("OLoRA", lora(init_lora_weights="olora")),
        ("replicated layers", lora(layer_replication=[(0, 2), (1, 2)])),
        ("KaSA", lora(kasa_config=peft.KasaConfig())),
    ):
        place = make_adapter(folder / label.replace(" ", "_"), base, config)
        yield label, refused(command("eval", "--base", base, "--adapter", place, "--tasks", "situations", "--arms",
                                     "base,adapter", "-o", folder / "run"), "base")  # fmt: skip
    plain = make_adapter(folder / "plain", base, lora())
    config = json.loads((plain / "adapter_config.json").read_text())
    for label, change, word in (
        ("CorDA", {"init_lora_weights": "corda"}, "path_initial_model_for_weight_conversion"),
        ("LoftQ", {"init_lora_weights": "loftq"}, "merge_and_unload"),
        ("LoRA-GA", {"init_lora_weights": "lora_ga"}, "merge_and_unload"),
        ("no peft_type", {"peft_type": None}, "has no peft_type"),
        ("an unknown one", {"peft_type": "NEWEST"}, "NEWEST"),
        ("EVA, which leaves the base alone", {"init_lora_weights": "eva"}, ""),
        ("orthogonal, which does too", {"init_lora_weights": "orthogonal"}, ""),
    ):
        (plain / "adapter_config.json").write_text(json.dumps(config | change))
        if word:
            yield label, problem(lambda: check_loadable(resolve_adapter(plain)), word)
        else:
            check_loadable(resolve_adapter(plain))
            yield label, ""


@kind("What was trained again meanwhile is not taken for what was found", slow=True)
def changed_adapters(folder: Path) -> Iterator[Case]:
    from lapd.adapters.adapter import resolve_adapter
    from lapd.adapters.switching import RESIDENT
    from lapd.answering.subjects import LoadedSubject
    from lapd.models.base import resolve_base
    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    made = make_adapter(folder / "made", base, lora())
    other = make_adapter(folder / "other", base, lora(r=8))
    places = [Path(shutil.copytree(made, folder / f"A{n}")) for n in range(RESIDENT + 2)]
    adapters = [resolve_adapter(place) for place in places]
    with without_warnings():
        subject = LoadedSubject(resolve_base(str(base)), adapters, "float32", 4)
    for n, label in ((-1, "trained again"), (-2, "taken away")):
        shutil.rmtree(places[n])
        if label == "trained again":
            shutil.copytree(other, places[n])
        yield f"an adapter that was {label}", problem(lambda: subject.switch(adapters[n]), "has changed since")  # noqa: B023
    found = resolve_base(str(base))
    (base / "generation_config.json").write_text('{"repetition_penalty": 2.0}')
    again = problem(lambda: LoadedSubject(found, [], "float32", 4), "generation_config.json")
    yield "a base in a queue", again
