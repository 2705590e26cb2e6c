"""What a base's digest covers, the digest that older records hold, and a base that changes under way."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from lora import make_lora

from lapd.adapters.adapter import base_of, check_base, resolve_adapter
from lapd.errors import BaseMismatchError, ModelError, StoreError, UnknownNameError
from lapd.experiment.arms import evaluate_arms
from lapd.experiment.reproduce import cell_of, read_cell
from lapd.files.whole import digest_files
from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base, load_tokenizer
from lapd.record.cells import Arm, Settings
from lapd.record.store import Store
from lapd.testing import make_tiny_base

FORMER = (
    "*.safetensors",
    "*.bin",
    "config.json",
    "tokenizer*",
    "chat_template*",
    "vocab*",
    "merges*",
    "special_tokens*",
)


def former_digest(folder: Path) -> str:
    """A base's digest as it was taken before it covered the generation config and the like."""
    return digest_files(folder, {f for pattern in FORMER for f in folder.glob(pattern) if f.is_file()})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(tiny, tmp_path / "base"))


@pytest.mark.parametrize(
    "name",
    [
        *("generation_config.json", "added_tokens.json", "tokenizer.model", "spiece.model", "source.spm"),
        *("chat_template.jinja", "additional_chat_templates/tool_use.jinja", "qwen.tiktoken", "bpe.codes"),
        *("special_tokens_map.json", "vocab.json", "model.safetensors.index.json", "adapter_config.json"),
    ],
)
def test_every_file_that_changes_answers_is_in_a_bases_digest(copied: Path, name: str) -> None:
    digests = {resolve_base(str(copied)).digest}
    (copied / name).parent.mkdir(exist_ok=True)
    for content in ('{"a": 1}', '{"a": 2}'):
        (copied / name).write_text(content)
        digests.add(resolve_base(str(copied)).digest)
    assert len(digests) == 3


def test_what_changes_no_answer_is_not_in_the_digest(copied: Path) -> None:
    before = resolve_base(str(copied)).digest
    for name in ("README.md", "run_card.json", "LICENSE", "base.gguf"):
        (copied / name).write_text("words")
    assert resolve_base(str(copied)).digest == before


def test_a_file_that_was_put_in_anothers_place_is_read_anew_though_size_and_time_are_the_same(copied: Path) -> None:
    file = copied / "generation_config.json"
    file.write_text('{"repetition_penalty": 1.0}')
    before, stat = resolve_base(str(copied)).digest, file.stat()
    file.write_text('{"repetition_penalty": 1.5}')
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert resolve_base(str(copied)).digest != before


def test_a_run_card_with_the_former_digest_of_the_same_base_counts(copied: Path, tmp_path: Path) -> None:
    (copied / "generation_config.json").write_text('{"repetition_penalty": 1.5}')
    base = resolve_base(str(copied))
    assert former_digest(copied) != base.digest
    folder = make_lora(tmp_path / "INFP", base, 1)
    card = json.loads((folder / "run_card.json").read_text())
    for digest in (base.digest, former_digest(copied)):
        card["base"]["digest"] = digest
        (folder / "run_card.json").write_text(json.dumps(card))
        check_base(resolve_adapter(folder), base)
    (copied / "config.json").write_text((copied / "config.json").read_text() + " ")
    with pytest.raises(BaseMismatchError, match="was trained on"):
        check_base(resolve_adapter(folder), resolve_base(str(copied)))


def test_adapters_of_one_base_add_up_whichever_digest_their_cards_hold(copied: Path, tmp_path: Path) -> None:
    from lapd.adapters.merge import merge_adapters

    base = resolve_base(str(copied))
    old = BaseModel(base.name, base.path, former_digest(copied), base.upstream)
    parts = [make_lora(tmp_path / "A", base, 1), make_lora(tmp_path / "B", old, 2)]
    merged = merge_adapters([resolve_adapter(part) for part in parts], tmp_path / "sum")
    assert merged.card and merged.card["base"]["digest"] == base.digest


def finished_cell(copied: Path, run: Path) -> Path:
    store = evaluate_arms(resolve_base(str(copied)), [Arm()], ["situations"], run, Settings(limit=2), quiet=True)
    return store.cell_folder(store.finished()[0]["cell"])


def test_reproducing_names_the_part_of_the_base_that_changed(copied: Path, tmp_path: Path) -> None:
    folder = finished_cell(copied, tmp_path / "run")
    record = read_cell(folder)
    cell_of(folder, record)
    (copied / "generation_config.json").write_text('{"repetition_penalty": 1.5}')
    with pytest.raises(StoreError, match=r"the base's generation_config\.json \(.*/base\) is not what it was"):
        cell_of(folder, record)


def test_a_cell_under_the_former_digest_can_be_reproduced(copied: Path, tmp_path: Path) -> None:
    folder = finished_cell(copied, tmp_path / "run")
    record = read_cell(folder)
    record["cell"]["base"] = record["provenance"]["digests"]["base"] = former_digest(copied)
    del record["inputs"]["base"]["files"]
    assert cell_of(folder, record).base.digest == former_digest(copied)


def test_a_run_folder_says_what_of_its_base_has_changed(copied: Path, tmp_path: Path) -> None:
    finished_cell(copied, tmp_path / "run")
    (copied / "generation_config.json").write_text('{"repetition_penalty": 1.5}')
    with pytest.raises(StoreError, match=r"as it was before generation_config\.json changed\. Give another -o"):
        Store(tmp_path / "run").check_base(resolve_base(str(copied)))


def test_a_base_that_changed_since_it_was_found_is_not_loaded(copied: Path) -> None:
    base = resolve_base(str(copied))
    (copied / "tokenizer_config.json").write_text((copied / "tokenizer_config.json").read_text() + " ")
    for load in (load_base, load_tokenizer):
        with pytest.raises(ModelError, match=r"has changed since it was found: tokenizer_config\.json"):
            load(base)


def test_a_revision_is_kept_apart_from_the_name_that_others_can_resolve(
    copied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub

    asked: list[Any] = []

    def fetch(repo: str, revision: str | None, **_: object) -> str:
        asked.append((repo, revision))
        return str(copied)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    for name, revision in (("someone/m@abc123", "abc123"), ("someone/m@refs/pr/1", "refs/pr/1"), ("someone/m", None)):
        base = resolve_base(name)
        assert (base.name, base.upstream, base.revision) == (name, "someone/m", revision)
        assert base.origin.get("revision") == revision
    assert asked == [("someone/m", "abc123"), ("someone/m", "refs/pr/1"), ("someone/m", None)]
    with pytest.raises(UnknownNameError):
        resolve_base("a/b/c")
    (tmp_path / "INFP").mkdir()
    (tmp_path / "INFP/adapter_model.safetensors").write_bytes(b"weights")
    config = {"base_model_name_or_path": "someone/m", "revision": "abc123"}
    (tmp_path / "INFP/adapter_config.json").write_text(json.dumps(config))
    assert base_of(resolve_adapter(tmp_path / "INFP")) == "someone/m@abc123"
