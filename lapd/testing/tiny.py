"""A tiny base model made on the spot, an adapter trained on it, and a run: in seconds, and without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lapd.pairs.pair import PreferencePair

if TYPE_CHECKING:
    from lapd.adapters.adapter import Adapter

TOKENS = 2000
"""Of the tokenizer that is made on the spot; English takes some 3 letters a token."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

LLAMA: dict[str, Any] = {
    **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
}
"""How large the tiny Llama is; other models of its make take these settings too."""

SMALL: dict[str, Any] = {
    **{"pairs": 4, "batch_size": 2, "epochs": 1, "save_steps": 1, "eval_pairs": 0, "lr": 1e-2},
    **{"precision": "float32", "max_length": 1024},
}
"""Settings of a training of two steps."""


def make_tiny_base(folder: Path, tokenizer: Path | None = None, model_type: str = "llama", **settings: Any) -> Path:
    """Write a tiny Llama with random weights into `folder`, and return it: any `--base` can be this folder.

    It has two layers of width 64 and a chat template (ChatML), and is the same each time. What it says is gibberish,
    but it has opinions, which training moves.

    Args:
        folder: is made where it is not there.
        tokenizer: the folder of a model whose tokenizer it gets; by default one is made from LAPD's own texts.
        model_type: of another architecture, as transformers calls it; `settings` then say how large it is.
        settings: of its configuration, added or in place of a Llama's.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from lapd.files.quiet import quiet_libraries

    with quiet_libraries(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        words = AutoTokenizer.from_pretrained(tokenizer) if tokenizer else _make_tokenizer()
        tokens = {name: getattr(words, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        # Weights are larger than usual: the model shall have opinions that training can move.
        common = {"vocab_size": len(words), "initializer_range": 0.1, **tokens}
        config = AutoConfig.for_model(model_type, **{**common, **(LLAMA if model_type == "llama" else {}), **settings})
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        words.save_pretrained(folder)
    return folder


def _make_tokenizer() -> Any:
    """A byte-level BPE of the shipped situations."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from lapd.data import contrast_corpus

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [text for s in contrast_corpus("train") for text in (s.situation, *s.responses.values())]
    words.train_from_iterator(texts, trainer)
    nothing, begin, end = SPECIAL
    made = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token=begin, eos_token=end, pad_token=end, unk_token=nothing
    )
    made.chat_template = CHATML
    return made


def some_pairs(number: int = SMALL["pairs"]) -> list[PreferencePair]:
    """Up to 400 preference pairs, each about a situation of its own: what the first pole says is chosen."""
    from lapd.data import contrast_corpus

    situations = contrast_corpus("train")[:number]
    texts = [(s, *s.responses.values()) for s in situations]
    return [PreferencePair(s.situation, first, second, {"id": s.id, "axis": s.axis}) for s, first, second in texts]


def make_tiny_adapter(base: Path, folder: Path, persona: str = "INFP", **settings: Any) -> Adapter:
    """An adapter of LAPD's with its run card, trained for two steps.

    Args:
        base: from `make_tiny_base`.
        folder: that is not there yet.
        persona: its code.
        settings: others of `lapd.TrainConfig`, such as `trainer`, `generator` or `dataset`.
    """
    from lapd.train.config import TrainConfig
    from lapd.train.training import train_adapter

    return train_adapter(TrainConfig(persona, base=str(base), **{**SMALL, **settings}), folder, quiet=True)


def make_tiny_run(folder: Path, tasks: Sequence[str] = ("situations",), persona: str = "INFP", limit: int = 4) -> Path:
    """A run's folder, as `lapd eval` leaves one: the tiny base without and with an adapter, on a few documents.

    Args:
        folder: gets `base`, `adapters/<persona>` and `run`.
        tasks: that are evaluated.
        persona: the adapter's.
        limit: documents of each task.
    """
    from lapd.evaluate.plan import make_arms
    from lapd.experiment.arms import evaluate_arms
    from lapd.models.base import resolve_base
    from lapd.record.cells import Settings

    base = make_tiny_base(folder / "base")
    arms = make_arms([make_tiny_adapter(base, folder / "adapters" / persona, persona)], ["base", "adapter"])
    evaluate_arms(resolve_base(str(base)), arms, list(tasks), folder / "run", Settings(limit=limit), quiet=True)
    return folder / "run"
