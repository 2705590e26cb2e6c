"""Which files of a model's folder determine what it computes, and their digests."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from lapd.errors import DataError
from lapd.files.whole import cache_dir, digest_file, digest_json, fitting_name, read_json, write_json

WEIGHTS = ("*.safetensors", "*.bin")

TOKENIZER = (
    *("tokenizer*", "*vocab*", "merges*", "special_tokens*", "added_tokens*", "tekken.json"),
    *("*.model", "*.spm", "*.tiktoken", "*.codes", "dict.txt", "normalizer.json", "emoji.json"),
    *("chat_template*", "*.jinja", "additional_chat_templates/*.jinja"),
)
"""What a tokenizer is made of, in every form that transformers reads; its chat templates are part of it."""

SETTINGS = ("config.json", "generation_config.json", "*.index.json", "adapter_config.json")
"""`*.index.json` says which file each weight is in; transformers puts an adapter on the model that it lies beside."""

FORMER = (*WEIGHTS, "config.json", "tokenizer*", "chat_template*", "vocab*", "merges*", "special_tokens*")
"""What a base's digest was taken over before it covered all of the above: older run cards hold such a digest."""


def matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """The files of a folder that match one of `patterns`, sorted."""
    return sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that a model's answers depend on, by its path in the folder.

    They are remembered, since hashing 16 GB of weights takes a while, until a file's size or times change.
    """
    files = matching(folder, (*WEIGHTS, *TOKENIZER, *SETTINGS))
    names = [file.relative_to(folder).as_posix() for file in files]
    stats = [file.stat() for file in files]
    # The time of the last change too, which no copying sets back.
    stamp = [[n, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for n, s in zip(names, stats, strict=True)]
    memory = cache_dir() / "digests" / f"{fitting_name(str(folder.resolve()).strip('/').replace('/', '-'))}.json"
    try:
        remembered = read_json(memory)
        if remembered["stamp"] == stamp and remembered["folder"] == str(folder.resolve()):
            return dict(remembered["files"])
    except (DataError, KeyError, TypeError, OSError):
        pass
    digests = {name: digest_file(file) for name, file in zip(names, files, strict=True)}
    with suppress(OSError):  # without a place to remember them they are computed each time
        write_json(memory, {"folder": str(folder.resolve()), "stamp": stamp, "files": digests})
    return digests


def digest_of(files: Mapping[str, str], patterns: tuple[str, ...] = ("*",)) -> str:
    """SHA-256 over the names and digests of those `files` that match one of `patterns`."""
    return digest_json(sorted((n, d) for n, d in files.items() if any(fnmatchcase(n, p) for p in patterns)))


def changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The names that are not the same in both, those that are only in one included; sorted."""
    return sorted(name for name in {**before, **after} if before.get(name) != after.get(name))
