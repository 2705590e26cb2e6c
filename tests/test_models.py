"""Base models: the embedded one, folders, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lapd.adapters.adapter import check_base, resolve_adapter
from lapd.errors import BaseMismatchError, ModelError, UnknownNameError
from lapd.files.heap import keep_freed_memory, map_from, return_freed_memory, share_one_heap
from lapd.models.base import resolve_base
from lapd.models.device import best_device
from lapd.models.embedded import embedded_folder
from lapd.models.loading import load_base


def test_the_embedded_model_has_its_special_tokens_right() -> None:
    """transformers reads them wrongly from the GGUF: a model that never meets its end of turn never stops."""
    from transformers import AutoConfig, AutoTokenizer

    folder = embedded_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer.eos_token_id == 2
    assert AutoConfig.from_pretrained(folder).eos_token_id == 2
    assert "<|im_start|>assistant" in tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )


def test_the_digest_is_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    source = embedded_folder()
    for file in source.iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert resolve_base(str(tmp_path)).digest == resolve_base("smollm2").digest
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text((source / "config.json").read_text() + " ")
    assert resolve_base(str(tmp_path)).digest != resolve_base("smollm2").digest


def test_names_that_are_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean smollm2"):
        resolve_base("smolm2")
    with pytest.raises(ModelError, match=r"no config\.json"):
        resolve_base(str(tmp_path))


def test_a_model_that_cannot_be_fetched_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="could not be fetched") as caught:
        resolve_base("nobody/nothing-of-the-kind")
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_with_a_broken_config_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-architecture"}')
    with pytest.raises(ModelError, match="could not be loaded"):
        load_base(resolve_base(str(tmp_path)))


@pytest.mark.slow
def test_an_adapter_stays_on_the_base_it_was_trained_on(small_adapter: Path, base: object) -> None:
    adapter = resolve_adapter(small_adapter)
    check_base(adapter, resolve_base("smollm2"))
    with pytest.raises(BaseMismatchError, match="was trained on smollm2"):
        check_base(adapter, base)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cuda", "apple", "device"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_a_gpu_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, apple: bool, device: str
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
    assert best_device() == device


@pytest.mark.parametrize("found", [OSError("no libc.so.6"), object()])
def test_a_c_library_without_mallopt_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch, found: object) -> None:
    import ctypes

    def load(name: str) -> object:
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(ctypes, "CDLL", load)
    share_one_heap()
    keep_freed_memory()
    map_from(2**23)
    return_freed_memory()
