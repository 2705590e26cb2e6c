"""What a file may call a task's documents: by id, by prompt, or by number where several share an id."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lapd.catalog.task import TaskInfo
from lapd.errors import DataError

SHOWN = 5
"""Ids that a message names before it counts the rest."""

Key = tuple[str | None, str | None]
"""A row's id and prompt, as far as it has them."""


class Documents:
    """A task's documents, and which of them a row of a file is about.

    Args:
        info: the task.
        docs: its documents, in order.

    Attributes:
        names: of each document: its id, or where several share one the id and a number, such as "a-ei-01/2".
    """

    def __init__(self, info: TaskInfo, docs: Iterable[Mapping[str, Any]]) -> None:
        self.info = info
        items: list[str] = []
        self.prompts: list[str | None] = []
        for doc in docs:
            items.append(str(doc[info.item or "id"]))
            self.prompts.append(str(doc["prompt"]) if "prompt" in doc else None)
        several, seen = Counter(items), Counter[str]()
        self.names: list[str] = []
        self._by_key: dict[str, set[int]] = defaultdict(set)
        for index, (item, prompt) in enumerate(zip(items, self.prompts, strict=True)):
            seen[item] += 1
            self.names.append(item if several[item] == 1 else f"{item}/{seen[item]}")
            for key in (item, self.names[-1], *([prompt] if prompt is not None else [])):
                self._by_key[key].add(index)

    def find(self, path: Path, keys: Sequence[Key], hint: str) -> list[int]:
        """The document that each row is about; a prompt tells those apart that share an id.

        Raises:
            DataError: a row is about none, `hint` says what to do; about several; or two are about the same.
        """
        found = [self._candidates(key) for key in keys]
        if unknown := [_shown(key) for key, candidates in zip(keys, found, strict=True) if not candidates]:
            raise DataError(path, f"{named(unknown)}: not in {self.info.name}.", hint=hint)
        if vague := {_shown(k): sorted(each) for k, each in zip(keys, found, strict=True) if len(each) > 1}:
            first, *_, last = (self.names[index] for index in next(iter(vague.values())))
            hint = f"Give the prompt beside it, or say which, from {first} to {last}."
            raise DataError(path, f"{named(list(vague))}: of several documents of {self.info.name}.", hint=hint)
        documents = [next(iter(candidates)) for candidates in found]
        refuse_duplicates(path, [self.names[index] for index in documents])
        return documents

    def _candidates(self, key: Key) -> set[int]:
        ident, prompt = key
        candidates = self._by_key.get(ident if ident is not None else prompt or "", set())
        if len(candidates) > 1 and prompt is not None:
            return {index for index in candidates if self.prompts[index] == prompt}
        return candidates


def key_of(row: Mapping[str, Any]) -> Key:
    """What a row says of its document."""
    ident, prompt = (None if row.get(name) is None else str(row[name]) for name in ("id", "prompt"))
    return ident, prompt


def refuse_duplicates(path: Path, keys: Iterable[str]) -> None:
    """Refuse a file in which a document occurs twice.

    Raises:
        DataError: it does.
    """
    if twice := [key for key, count in Counter(keys).items() if count > 1]:
        raise DataError(path, f"{named(twice)}: more than once.", hint="Leave one line for each.")


def named(keys: Sequence[str]) -> str:
    """Ids for a message: "ids 1, 2, 3, 4, 5 and 9 more"."""
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return f"id{'s' if len(keys) > 1 else ''} {', '.join(keys[:SHOWN])}{more}"


def _shown(key: Key) -> str:
    ident, prompt = key
    return ident if ident is not None else (prompt or "").partition("\n")[0]
