"""A baked model reads texts as its base does: every file of the tokenizer goes along, and that is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lora import make_lora

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.bake import bake_adapters
from lapd.adapters.merge import merge_adapters
from lapd.errors import ModelError
from lapd.models import tokenizers
from lapd.models.base import resolve_base
from lapd.testing.tiny import make_tiny_base


def make_base_with_old_files(folder: Path) -> Path:
    """A base whose tokenizer is in the files of before tokenizer.json, with tokens that only added_tokens.json has."""
    make_tiny_base(folder)
    words = json.loads((folder / "tokenizer.json").read_text())
    (folder / "vocab.json").write_text(json.dumps(words["model"]["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in words["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer.json").unlink()
    size = len(words["model"]["vocab"])
    (folder / "added_tokens.json").write_text(json.dumps({"<|tool|>": size, "<|extra|>": size + 1}))
    settings = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/rag.jinja").write_text("{{ messages[0]['content'] }}")
    return folder


def encoded(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)("A quiet <|tool|> morning<|extra|>")["input_ids"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base_with_old_files(tmp_path_factory.mktemp("old") / "base")


def test_every_file_of_the_tokenizer_goes_into_a_baked_model(base: Path, tmp_path: Path) -> None:
    part = resolve_adapter(make_lora(tmp_path / "A", resolve_base(str(base)), 1))
    baked = bake_adapters([part], resolve_base(str(base)), tmp_path / "baked")
    for name in ("added_tokens.json", "vocab.json", "merges.txt", "additional_chat_templates/rag.jinja"):
        assert (baked / name).read_bytes() == (base / name).read_bytes()
    assert encoded(baked) == encoded(base)


def test_every_file_of_the_tokenizer_goes_into_a_sum(base: Path, tmp_path: Path) -> None:
    folder = make_lora(tmp_path / "A", resolve_base(str(base)), 1)
    for name in ("added_tokens.json", "tokenizer.model"):
        (folder / name).write_text("{}")
    merged = merge_adapters([resolve_adapter(folder)], tmp_path / "sum")
    assert (merged.path / "added_tokens.json").is_file() and (merged.path / "tokenizer.model").is_file()


@pytest.mark.parametrize(("lost", "what"), [("added_tokens.json", "number of tokens"), ("chat_template.jinja", "chat")])
def test_baking_ends_where_the_tokenizer_does_not_come_out_the_same(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, what: str
) -> None:
    part = resolve_adapter(make_lora(tmp_path / "A", resolve_base(str(base)), 1))
    kept = tuple(pattern for pattern in tokenizers.TOKENIZER if not Path(lost).match(pattern))
    monkeypatch.setattr(tokenizers, "TOKENIZER", kept)
    with pytest.raises(ModelError, match=f"does not come out the same: another .*{what}"):
        bake_adapters([part], resolve_base(str(base)), tmp_path / "baked")
    assert not (tmp_path / "baked").exists()
