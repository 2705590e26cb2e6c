"""Rows of the contrast corpus and of pairs files in one form, for checking and counting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lapd.files.rows import first_record, format_of
from lapd.names import axes, packs
from lapd.pairs.messages import Turn, context_of, named_texts
from lapd.pairs.readers import Fields, read_rows
from lapd.questionnaires.reading import read_questionnaire
from lapd.traits.pack import FILE, TraitPack, read_pack
from lapd.traits.situations import Situation, read_situations


@dataclass(frozen=True)
class Entry:
    """A prompt and two responses to it.

    Attributes:
        where: tells which row it is: an id such as "ei-001", or "line 12".
        prompt: what the user says.
        responses: two texts by what tells them apart: their poles, or "chosen" and "rejected".
        axis: the axis whose poles they are, if that is known.
        split: "train" or "heldout" in the corpus; "" in a pairs file.
        topic: what it is about; "" where that is not known.
        lang: ISO 639-1 code of the language; "" where that is not known.
        system, history: what is before the prompt, as in `PreferencePair`.
    """

    where: str
    prompt: str
    responses: dict[str, str]
    axis: str = ""
    split: str = ""
    topic: str = ""
    lang: str = ""
    system: str = ""
    history: tuple[Turn, ...] = ()

    @property
    def texts(self) -> dict[str, str]:
        """All texts, by what they are."""
        return {**named_texts(self.system, self.history, self.prompt), **self.responses}

    @property
    def context(self) -> str:
        """All that is before the responses, as one text."""
        return context_of(self.system, self.history, self.prompt)

    @property
    def turns(self) -> str:
        """How many turns are before the responses; "" for a prompt alone."""
        return str(len(self.history) + 1) if self.history else ""


def corpus_files(path: Path) -> list[Path]:
    """The files of a contrast corpus: `path` itself, or those below it; empty if it holds something else."""
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    first = first_record(files[0]) if files and format_of(files[0]) == ".jsonl" else None
    return files if isinstance(first, dict) and {"situation", "responses"} <= first.keys() else []


def read_entries(path_or_id: str, fields: Fields | None = None) -> list[Entry]:
    """The rows of a contrast corpus (a folder or one of its files) or of anything that the readers read, in order.

    Raises:
        DataError, UsageError: as `read_situations` and `lapd.pairs.readers.read_rows`.
    """
    if files := corpus_files(Path(path_or_id).expanduser()):
        return [_entry(situation) for file in files for situation in read_situations(file, _ends(file))]
    return [
        Entry(
            where=f"line {row.number}",
            prompt=row.prompt,
            responses={"chosen": row.chosen, "rejected": row.rejected},
            axis=str(row.source.get("axis") or ""),
            topic=str(row.source.get("topic") or ""),
            system=row.system,
            history=row.history,
        )
        for row in read_rows(path_or_id, fields)
    ]


def pack_entries(pack: TraitPack) -> list[Entry]:
    """The situations of a trait pack, in every language.

    Raises:
        DataError: as `TraitPack.corpus`.
    """
    return [_entry(situation) for lang in pack.languages() for situation in pack.corpus(lang)]


def _entry(s: Situation) -> Entry:
    return Entry(s.id, s.situation, s.responses, s.axis, s.split, s.topic, s.lang)


def axes_of(entries: Iterable[Entry]) -> list[str]:
    """The axes that rows name, in their packs' order; others after them."""
    named = dict.fromkeys(entry.axis for entry in entries if entry.axis)
    known = axes()
    return [*(axis for axis in known if axis in named), *(axis for axis in named if axis not in known)]


def known_statements() -> list[str]:
    """Every statement of the packs' questionnaires, in all forms and languages."""
    forms = [form for pack in packs().values() for form in pack.questionnaires()]
    return [text for form in forms for item in read_questionnaire(form).items for text in item.statements.values()]


def _ends(file: Path) -> dict[str, tuple[str, str]]:
    """The poles of the axes that a corpus file may name: its own pack's, where it lies in one, else every pack's."""
    folder = next((folder for folder in file.resolve().parents if (folder / FILE).is_file()), None)
    known = read_pack(folder).axes if folder else axes().values()
    return {axis.id: axis.ends for axis in known}
