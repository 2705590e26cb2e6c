"""Base models and adapters of every kind."""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wild_cases import command, expect, kind, refused

Case = tuple[str, str]

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 273000000\n"
QV = ["q_proj", "v_proj"]
TASK = {"task_type": "CAUSAL_LM"}
SMALL = ("--pairs", 2, "--batch-size", 2, "--epochs", 1, "--eval-pairs", 0, "--max-length", 1024, "--trainer", "trl")


def problem(call: Callable[[], object], *words: str) -> str:
    """What is wrong where a call is not refused in one line that has these words."""
    from lapd.errors import LapdError

    try:
        call()
    except LapdError as error:
        text = str(error)
        missing = [word for word in words if word not in text]
        return f"{missing} not in {text!r}" if missing or "\n" in text else ""
    return "it was not refused"


def said(*words: object, text: str) -> tuple[int, str, str]:
    """`lapd chat` with what a user types."""
    from click.testing import CliRunner

    from lapd.cli import cli

    options = ["chat", *map(str, words), "--max-tokens", "2", "--temperature", "0"]
    result = CliRunner().invoke(cli, options, input=text, prog_name="lapd")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


# What a base is


def bare_folder(folder: Path) -> Path:
    """What `resolve_base` takes for a model; it holds no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@kind("Every file that changes answers changes the base's digest, and nothing else does")
def digests(folder: Path) -> Iterator[Case]:
    from lapd.models.base import resolve_base

    base = bare_folder(folder / "base")
    counted = ("generation_config.json", "added_tokens.json", "tokenizer.model", "spiece.model", "target.spm",
               "sentencepiece.bpe.model", "chat_template.jinja", "additional_chat_templates/rag.jinja", "vocab.txt",
               "merges.txt", "special_tokens_map.json", "tokenizer_config.json", "qwen.tiktoken", "tekken.json",
               "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "config.json",
               "adapter_config.json")  # fmt: skip
    for name in (*counted, "README.md", "run_card.json", "LICENSE", "base.gguf", "training.log"):
        (base / name).parent.mkdir(exist_ok=True)
        found = []
        for content in ('{"model_type": "llama", "a": 1}', '{"model_type": "llama", "a": 2}'):
            (base / name).write_text(content)
            found.append(resolve_base(str(base)).digest)
        yield name, expect(found[0] != found[1], name in counted)
    file = base / "generation_config.json"
    before, stat = resolve_base(str(base)).digest, file.stat()
    file.write_text(file.read_text().replace("2", "3"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    yield "the same size and time", expect(resolve_base(str(base)).digest != before, True)


@kind("A run card that holds the former digest of the same base counts, of another one it does not")
def former_digests(folder: Path) -> Iterator[Case]:
    from lapd.adapters.adapter import Adapter, check_base
    from lapd.files.whole import digest_files
    from lapd.models.base import resolve_base

    base = bare_folder(folder / "base")
    (base / "tokenizer.json").write_text("{}")
    old = digest_files(base, [base / "config.json", base / "tokenizer.json"])
    (base / "generation_config.json").write_text('{"repetition_penalty": 1.5}')
    found = resolve_base(str(base))
    adapter = Adapter("A", folder, "a" * 64, {"base": {"name": "base", "digest": old}})
    yield (
        "changed since only in what did not count",
        expect((old == found.digest, check_base(adapter, found)), (False, None)),
    )
    (base / "tokenizer.json").write_text('{"version": "1"}')
    yield "another tokenizer", problem(lambda: check_base(adapter, resolve_base(str(base))), "was trained on")


@kind("Files that are a pointer, cut off, empty or of another kind are named")
def cut_files(folder: Path) -> Iterator[Case]:
    from lapd.models.intact import check_intact, check_model_folder, object_in

    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(16)
    file = folder / "model.safetensors"
    for label, content, word in (
        ("a pointer", POINTER, "Git LFS"),
        ("nothing", b"", "is empty"),
        ("cut in the data", whole[:-3], "is cut off"),
        ("cut in the header", whole[:20], "is cut off"),
        ("a few bytes", whole[:5], "holds no weights"),
        ("too long", whole + b"xxxx", "is cut off or damaged"),
        ("a web page", b"<!doctype html><html>Please sign in.</html>", "holds no weights"),
    ):
        file.write_bytes(content)
        yield label, problem(lambda: check_intact([file]), word, str(file))
    file.write_bytes(whole)
    check_intact([file])
    pickled = folder / "adapter_model.bin"
    for label, content, word in (
        ("a cut archive", b"PK\x03\x04" + bytes(40), "is cut off"),
        ("text", b"{}", "holds no"),
    ):
        pickled.write_bytes(content)
        yield f"{label} called .bin", problem(lambda: check_intact([pickled]), word)
    for label, text in (("a list", "[]"), ("a text", '"llama"'), ("null", "null"), ("no JSON", "{"), ("nothing", "")):
        base = bare_folder(folder / "base")
        (base / "config.json").write_text(text)
        yield f"a configuration of {label}", problem(lambda: object_in(base / "config.json"), "config.json")  # noqa: B023
        yield f"a base with {label} for its configuration", problem(lambda: check_model_folder(base), "config.json")  # noqa: B023


@kind("A revision on the Hub is no part of a name that others resolve")
def revisions(folder: Path) -> Iterator[Case]:
    from unittest import mock

    from lapd.adapters.adapter import Adapter, base_of
    from lapd.models.base import resolve_base

    base = bare_folder(folder / "base")
    for name, repo, revision in (
        ("org/model@abc", "org/model", "abc"),
        ("org/model@refs/pr/3", "org/model", "refs/pr/3"),
        ("org/model@v1.0", "org/model", "v1.0"),
        ("org/model", "org/model", None),
    ):
        with mock.patch("huggingface_hub.snapshot_download", return_value=str(base)):
            found = resolve_base(name)
        yield name, expect((found.name, found.upstream, found.revision), (name, repo, revision))
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": repo, "revision": revision}))
        yield f"{name}, back from PEFT", expect(base_of(Adapter("A", folder, "a" * 64, None)), name)


@kind("A configuration's windows and turns of position limit what is packed")
def limits(folder: Path) -> Iterator[Case]:
    from lapd.packed.regimes import reach

    class Config:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings

        def to_dict(self) -> dict[str, Any]:
            return self.settings

    rope = {"rope_type": "longrope", "original_max_position_embeddings": 4096}
    for label, settings, limit in (
        ("nothing", {"max_position_embeddings": 2048}, None),
        ("sliding_window", {"sliding_window": 4096}, 4096),
        ("a window that is off", {"sliding_window": 4096, "use_sliding_window": False}, None),
        ("a window of None", {"sliding_window": None}, None),
        ("a window of -1", {"attn_config": {"sliding_window_size": -1}}, None),
        ("one for each layer", {"sliding_window": [None, 512, 1024]}, 512),
        ("window_size", {"window_size": 256, "attention_types": [[["global", "local"], 6]]}, 256),
        ("only global layers", {"window_size": 256, "attention_types": [[["global"], 12]]}, None),
        ("layer_types", {"layer_types": ["full_attention", "sliding_attention"], "sliding_window": 128}, 128),
        ("layers without a width", {"layer_types": ["local_attention"]}, 0),
        ("chunks", {"attention_chunk_size": 8192}, 8192),
        ("local_attention", {"local_attention": 128}, 128),
        ("attention_window_size", {"attention_window_size": 2048, "block_types": ["recurrent", "attention"]}, 2048),
        ("longrope", {"rope_parameters": rope, "max_position_embeddings": 131072}, 4096),
        ("longrope as it was", {"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 4096,
                                "max_position_embeddings": 131072}, 4096),
        ("one kind of layer's", {"rope_parameters": {"full_attention": rope, "other": {"rope_type": "default"}},
                                 "max_position_embeddings": 131072}, 4096),
        ("dynamic NTK", {"rope_scaling": {"rope_type": "dynamic"}, "max_position_embeddings": 2048}, 2048),
        ("llama3", {"rope_parameters": {"rope_type": "llama3", "original_max_position_embeddings": 8192}}, None),
        ("yarn", {"rope_parameters": {"rope_type": "yarn", "original_max_position_embeddings": 4096}}, None),
        ("layers counted", {"max_window_layers": 28, "sliding_window_pattern": 6, "num_local_experts": 8}, None),
        ("chosen tokens", {"index_topk": 2048}, 2048),
    ):  # fmt: skip
        yield label, expect(reach(Config(**settings)), limit)


# Adapters


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


@contextmanager
def without_warnings() -> Iterator[None]:
    from lapd.files.quiet import quiet_libraries

    with quiet_libraries(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


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


# Architectures


TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TURN = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8}


def architectures() -> dict[str, tuple[str, dict[str, Any]]]:
    from lapd.testing.tiny import LLAMA

    long = {"original_max_position_embeddings": 48}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1}
    return {
        "Llama": ("llama", {}),
        "GPT-Neo": ("gpt_neo", {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "window_size": 48,
                                "attention_types": [[["global", "local"], 1]]}),
        "GPT-2": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4}),
        "OPT": ("opt", {**TINY, "ffn_dim": 128, "word_embed_proj_dim": 64}),
        "XGLM": ("xglm", {"d_model": 64, "ffn_dim": 128, "num_layers": 2, "attention_heads": 4}),
        "Bloom": ("bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4}),
        "Mistral": ("mistral", {**LLAMA, "sliding_window": 48}),
        "Gemma 3": ("gemma3_text", {**LLAMA, "head_dim": 16, "sliding_window": 48}),
        "Phi-3, longrope": ("phi3", {**LLAMA, "max_position_embeddings": 1024, **long,
                                     "rope_parameters": {**TURN, **long}}),
        "Llama, dynamic NTK": ("llama", {"max_position_embeddings": 48, "rope_parameters": {
            "rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}}),
        "Llama 4": ("llama4_text", {**LLAMA, **experts, "head_dim": 16, "intermediate_size_mlp": 128,
                                    "attention_chunk_size": 48}),
        "GPT-OSS": ("gpt_oss", {**LLAMA, **experts, "head_dim": 16, "sliding_window": 48}),
        "Mixtral": ("mixtral", {**LLAMA, **experts, "router_jitter_noise": 0.3}),
        "Mamba": ("mamba", {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8}),
        "RWKV": ("rwkv", {"hidden_size": 64, "num_hidden_layers": 2, "attention_hidden_size": 64}),
        "Doge": ("doge", LLAMA),
    }  # fmt: skip


@kind("Scores and answers are lm-eval's, one at a time, below and beyond every window and turn", slow=True)
def scores(folder: Path) -> Iterator[Case]:
    from lm_eval.models.huggingface import HFLM

    from lapd.answering.lm import PackedLM
    from lapd.models.base import resolve_base
    from lapd.models.loading import load_base
    from lapd.testing.tiny import make_tiny_base

    for name, (model_type, settings) in architectures().items():
        base = make_tiny_base(folder / name.replace(" ", "_"), None, model_type, **settings)
        for lengths in ((3, 5, 8), (60, 70, 80), (4, 12, 30, 60, 90)):
            with without_warnings():
                # A model each: dynamic NTK keeps the longest length that it has met.
                lms = []
                for make, size in ((PackedLM, 4), (HFLM, 1)):
                    model, tokenizer = load_base(resolve_base(str(base)))
                    lms.append(make(model, tokenizer=tokenizer, batch_size=size, max_length=256))
                ours, theirs = lms
                yield f"{name}, {lengths} words", unlike(answers(ours, lengths), answers(theirs, lengths))
                if name == "Llama":
                    yield "Llama is packed", expect(ours.packs, True)


@kind("Every make of model trains, from a loss of log 2", slow=True)
def first_losses(folder: Path) -> Iterator[Case]:
    from lapd.files.whole import read_json
    from lapd.testing.tiny import make_tiny_base

    for name, (model_type, settings) in architectures().items():
        place = folder / name.replace(" ", "_")
        base = make_tiny_base(place / "base", None, model_type, **settings)
        with without_warnings():
            code, _, errors = command("train", "INFP", "--base", base, "-o", place / "INFP", *SMALL)
        if code:
            yield name, f"exit code {code}: {errors.strip()[-300:]}"
            continue
        loss = read_json(place / "INFP/run_card.json")["log"][0]["loss"]
        yield name, "" if abs(loss - math.log(2)) < 1e-4 else f"its first loss is {loss}"
        wrong = command("train", "INFP", "--base", base, "-o", place / "no", *SMALL, "--target-modules", "nothing")
        yield f"{name}, a layer that it has not", refused(wrong, "--target-modules", "Those that take LoRA", code=2)


# Tokenizers and templates


def settings_of(base: Path, **changes: Any) -> None:
    settings = json.loads((base / "tokenizer_config.json").read_text()) | changes
    (base / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))


@kind("A chat template that is missing, one of several, or broken is a line", slow=True)
def templates(folder: Path) -> Iterator[Case]:
    from lapd.testing.tiny import CHATML, make_tiny_base

    whole = make_tiny_base(folder / "whole")
    several = [{"name": name, "template": CHATML} for name in ("rag", "tool_use")]
    for label, text, more, word in (
        ("none", None, {}, "no chat template"),
        ("several and no default", None, {"chat_template": several}, "several chat templates"),
        ("one that ends too soon", "{% for message in messages %}", {}, "cannot be rendered"),
        ("one that calls what there is not", "{{ nothing.at_all() }}", {}, "cannot be rendered"),
        ("one that refuses all", "{{ raise_exception('no') }}", {}, "cannot be rendered"),
    ):
        base = Path(shutil.copytree(whole, folder / label.replace(" ", "_")))
        (base / "chat_template.jinja").unlink()
        if text is not None:
            (base / "chat_template.jinja").write_text(text)
        settings_of(base, **more)
        yield (
            f"lapd train, {label}",
            refused(command("train", "INFP", "--base", base, "-o", folder / "no", *SMALL), word),
        )
        yield f"lapd chat, {label}", refused(said("--base", base, text="Hello\n"), word)


@kind("lapd chat --prompt finds a place for the prompt, or says where it puts it", slow=True)
def prompts(folder: Path) -> Iterator[Case]:
    from lapd.testing.tiny import CHATML, make_tiny_base

    base = make_tiny_base(folder / "base")
    refuses = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    )
    drops = (
        "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    trims = CHATML.replace("message['content']", "message['content'] | trim")
    for label, text, folded in (
        ("ChatML", CHATML, False),
        ("one that trims", trims, False),
        ("one that refuses a system role", refuses, True),
        ("one that drops it", drops, True),
    ):
        (base / "chat_template.jinja").write_text(text)
        code, _, errors = said("--base", base, "--persona", "ENTJ", "--prompt", text="Hello\nAnd you?\n")
        yield label, expect((code, errors.count("before your words")), (0, int(folded)))


@kind("A tokenizer without an end or padding, or with more tokens than the model, does no harm or is a line", slow=True)
def odd_tokens(folder: Path) -> Iterator[Case]:
    from transformers import AutoTokenizer

    from lapd.testing.tiny import CHATML, make_tiny_base

    whole = make_tiny_base(folder / "whole")
    options = ("--arms", "base", "--limit", 2, "--tasks", "situations")

    def tried(base: Path) -> list[int]:
        done = [
            command("train", "INFP", "--base", base, "-o", base / "INFP", *SMALL),
            command("eval", "--base", base, "-o", base / "run", *options),
            said("--base", base, text="Hello\n"),
        ]
        return [code for code, _, _ in done]

    endless = Path(shutil.copytree(whole, folder / "endless"))
    settings_of(endless, eos_token=None, pad_token=None)
    (endless / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    for name in ("config.json", "generation_config.json"):
        config = json.loads((endless / name).read_text())
        (endless / name).write_text(json.dumps(config | {"eos_token_id": None, "pad_token_id": None}))
    yield "no end anywhere", expect(tried(endless), [0, 0, 0])
    open_ended = command("eval", "--base", endless, "-o", endless / "open", "--arms", "base", "--limit", 1,
                         "--tasks", "situations_open")  # fmt: skip
    yield "no end anywhere, answers to be written", refused(open_ended, "no end-of-text token")

    padded = Path(shutil.copytree(whole, folder / "padded"))
    tokenizer = AutoTokenizer.from_pretrained(padded)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.add_tokens("<|beyond|>")
    tokenizer.save_pretrained(padded)
    yield "padding beyond the embedding", expect(tried(padded), [0, 0, 0])
    shutil.rmtree(padded / "INFP")
    (padded / "chat_template.jinja").write_text("<|beyond|>" + CHATML)
    for label, outcome in (
        ("train", command("train", "INFP", "--base", padded, "-o", padded / "INFP", *SMALL)),
        ("eval", command("eval", "--base", padded, "-o", padded / "again", *options)),
        ("chat", said("--base", padded, text="Hello\n")),
    ):
        yield f"lapd {label} with a token beyond the embedding", refused(outcome, "<|beyond|>", "beyond the model's")


@kind("A baked model's tokenizer reads texts as its base's does", slow=True)
def baked(folder: Path) -> Iterator[Case]:
    from transformers import AutoTokenizer

    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    words = json.loads((base / "tokenizer.json").read_text())["model"]
    (base / "vocab.json").write_text(json.dumps(words["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in words["merges"]]
    (base / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (base / "tokenizer.json").unlink()
    extra = {"<|tool|>": len(words["vocab"]), "<|extra|>": len(words["vocab"]) + 1}
    (base / "added_tokens.json").write_text(json.dumps(extra))
    ends = {"eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer", **ends}))
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates/rag.jinja").write_text("{{ messages[0].content }}")
    part = make_adapter(folder / "A", base, lora())
    with without_warnings():
        code, _, errors = command("merge", part, "--base", base, "--into-base", "-o", folder / "baked")
    yield "baking", expect((code, "Traceback" in errors), (0, False))
    for text in ("<|tool|> and <|extra|>x", "A quiet morning.", "日本語 😀\t\n  two", "<|im_end|>"):
        before, after = (AutoTokenizer.from_pretrained(f)(text)["input_ids"] for f in (base, folder / "baked"))
        yield text, expect(after, before)
    for name in ("added_tokens.json", "additional_chat_templates/rag.jinja"):
        yield name, expect((folder / "baked" / name).is_file(), True)
