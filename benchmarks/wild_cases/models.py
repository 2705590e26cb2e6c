"""Base models: what they are known by, files that are no models, what limits their packing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wild_cases import expect, kind, problem

Case = tuple[str, str]

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 273000000\n"


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
