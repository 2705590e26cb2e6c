"""Base models as they come: cut files, no chat template or too many, tokens that are missing or too many."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from lora import make_lora

from lapd.adapters.adapter import resolve_adapter
from lapd.adapters.switching import load_adapters
from lapd.errors import ModelError
from lapd.models.base import resolve_base
from lapd.models.chat import check_chat_template, turn_end
from lapd.models.loading import load_base, load_tokenizer
from lapd.testing.tiny import CHATML, make_tiny_base

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 273000000\n"

NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny, tmp_path / "base"))


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("model.safetensors", lambda _: POINTER, "is a pointer of Git LFS"),
        ("model.safetensors", lambda _: b"", r"model\.safetensors is empty"),
        ("model.safetensors", lambda b: b[: len(b) // 2], "is cut off or damaged"),
        ("model.safetensors", lambda b: b[:100], "is cut off or damaged"),
        ("model.safetensors", lambda _: b"<html>Sign in</html>", "holds no weights"),
        ("config.json", lambda _: b"[]", "is no configuration: it holds a list"),
        ("config.json", lambda _: POINTER, "is a pointer of Git LFS"),
        ("tokenizer.json", lambda _: POINTER, "is a pointer of Git LFS"),
    ],
)
def test_a_base_whose_files_are_not_whole_is_refused_in_a_line(
    folder: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    rewrite(folder / name, change)
    with pytest.raises(ModelError, match=message) as caught:
        load_base(resolve_base(str(folder)))
    assert name in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_shard_that_is_missing_is_named(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors is missing"):
        load_base(resolve_base(str(folder)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: POINTER, "is a pointer of Git LFS"),
        (lambda _: b"", "is empty"),
        (lambda b: b[:-100], "is cut off or damaged"),
    ],
)
def test_an_adapter_whose_weights_are_not_whole_is_refused_in_a_line(
    tiny: Path, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    base = resolve_base(str(tiny))
    adapter = make_lora(tmp_path / "A", base, 1)
    rewrite(adapter / "adapter_model.safetensors", change)
    with pytest.raises(ModelError, match=message):
        load_adapters(load_base(base)[0], [resolve_adapter(adapter)])


def without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def with_several(folder: Path) -> None:
    templates = [{"name": name, "template": CHATML} for name in ("rag", "tool_use")]
    without_template(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": templates}))


def with_a_broken_one(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for message in messages %}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_template, "has no chat template"),
        (with_several, r"has several chat templates \(rag, tool_use\), none of them the default"),
        (with_a_broken_one, "chat template cannot be rendered"),
    ],
)
def test_training_and_chatting_without_a_usable_chat_template_is_a_line(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], message: str, invoke: Callable[..., Result]
) -> None:
    change(folder)
    with pytest.raises(ModelError, match=message):
        check_chat_template(load_tokenizer(resolve_base(str(folder))), "it")
    options = ("--pairs", 2, "--eval-pairs", 0, "--max-length", 1024)
    train = invoke("train", "INFP", "--base", folder, "-o", tmp_path / "out", "--trainer", "trl", *options)
    for result in (train, invoke("chat", "--base", folder)):
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
        assert result.exit_code == 1 and len(errors) == 1, result.output
    assert not (tmp_path / "out").exists()


def test_several_templates_with_a_default_are_taken(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/rag.jinja").write_text("no")
    check_chat_template(load_tokenizer(resolve_base(str(folder))), "it")


def chat(*args: object, said: str) -> Result:
    from lapd.cli import cli

    options = ("--max-tokens", 2, "--temperature", 0)
    return CliRunner().invoke(cli, ["chat", *map(str, (*args, *options))], input=said)


def test_chat_puts_a_prompt_that_has_no_place_before_the_first_words_and_says_so_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedTokenizerBase

    (folder / "chat_template.jinja").write_text(NO_SYSTEM)
    rendered: list[Any] = []
    original = PreTrainedTokenizerBase.apply_chat_template

    def noted(self: Any, conversation: Any, **kwargs: Any) -> Any:
        if kwargs.get("return_dict"):
            rendered.append(conversation)
        return original(self, conversation, **kwargs)

    monkeypatch.setattr(PreTrainedTokenizerBase, "apply_chat_template", noted)
    result = chat("--base", folder, "--persona", "ENTJ", "--prompt", said="Hello\nAnd you?\n/quit\n")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("has no place for a system prompt: it goes before your words") == 1
    first, second = rendered
    assert [m["role"] for m in first] == ["user"] and first[0]["content"].endswith("\n\nHello")
    assert [m["role"] for m in second] == ["user", "assistant", "user"]
    assert second[0] == first[0] and second[2]["content"] == "And you?"


def without_end(folder: Path, template: str = CHATML, ends: object = None) -> None:
    """Take the end-of-text token, and what could tell it, from the tokenizer and the model's settings."""
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for name in ("eos_token", "pad_token"):
        settings.pop(name, None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(template)
    for name in ("config.json", "generation_config.json"):
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(config | {"eos_token_id": ends, "pad_token_id": None}))


def test_a_tokenizer_without_an_end_gets_the_models_own_else_that_of_a_turn(folder: Path) -> None:
    plain = load_tokenizer(resolve_base(str(folder)))
    end = plain.convert_tokens_to_ids("<|endoftext|>")
    without_end(folder, ends=[end, 2])
    found = load_tokenizer(resolve_base(str(folder)))
    assert (found.eos_token_id, found.pad_token_id) == (end, end)
    without_end(folder)
    assert turn_end(plain) == load_tokenizer(resolve_base(str(folder))).eos_token == "<|im_end|>"


def test_without_any_end_one_can_chat_and_train_and_score_but_not_have_answers_written(
    folder: Path, tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    without_end(folder, "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}")
    assert load_tokenizer(resolve_base(str(folder))).eos_token is None
    assert chat("--base", folder, said="Hello\n").exit_code == 0
    small = ("--pairs", 2, "--batch-size", 2, "--epochs", 1, "--eval-pairs", 0, "--max-length", 1024)
    trained = invoke("train", "INFP", "--base", folder, "-o", tmp_path / "INFP", "--trainer", "trl", *small)
    assert trained.exit_code == 0, trained.output
    options = ("--base", folder, "--arms", "base", "--limit", 2)
    assert invoke("eval", "--tasks", "situations", "-o", tmp_path / "scored", *options).exit_code == 0
    written = invoke("eval", "--tasks", "situations_open", "-o", tmp_path / "written", *options)
    assert written.exit_code == 1 and "has no end-of-text token" in written.stderr


def with_more_tokens(folder: Path) -> None:
    """Tokens that the tokenizer has and the model does not: padding, as people add it, and one more."""
    tokenizer = load_tokenizer(resolve_base(str(folder)))
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.add_tokens("<|beyond|>")
    tokenizer.save_pretrained(folder)


def test_padding_beyond_the_embedding_does_no_harm(folder: Path, tmp_path: Path, invoke: Callable[..., Result]) -> None:
    with_more_tokens(folder)
    model, tokenizer = load_base(resolve_base(str(folder)))
    assert tokenizer.pad_token_id < model.get_input_embeddings().num_embeddings
    assert chat("--base", folder, said="Hello\n").exit_code == 0
    options = ("--base", folder, "--arms", "base", "--limit", 2, "-o", tmp_path / "run")
    assert invoke("eval", "--tasks", "situations,situations_open", *options).exit_code == 0


def test_a_token_beyond_the_embedding_is_a_line(folder: Path, tmp_path: Path, invoke: Callable[..., Result]) -> None:
    with_more_tokens(folder)
    (folder / "chat_template.jinja").write_text("<|beyond|>" + CHATML)
    options = ("--pairs", 2, "--eval-pairs", 0, "--max-length", 1024, "--trainer", "trl", "-o", tmp_path / "out")
    for result in (
        invoke("train", "INFP", "--base", folder, *options),
        invoke("eval", "--base", folder, "--arms", "base", "--limit", 2, "--tasks", "situations", "-o", tmp_path / "r"),
        chat("--base", folder, said="Hello\n"),
    ):
        errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
        assert result.exit_code == 1 and len(errors) == 1, result.output
        assert "'<|beyond|>'" in errors[0] and "is beyond the model's" in errors[0]
