"""Rows of the contrast corpus and of pairs files in one form, for checking and counting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lapd.files.rows import first_record
from lapd.pairs.readers import Fields, read_rows
from lapd.personas import AXES


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
    """

    where: str
    prompt: str
    responses: dict[str, str]
    axis: str = ""
    split: str = ""
    topic: str = ""
    lang: str = ""

    @property
    def texts(self) -> dict[str, str]:
        """All three texts, by what they are."""
        return {"prompt": self.prompt, **self.responses}


def corpus_files(path: Path) -> list[Path]:
    """The files of a contrast corpus: `path` itself, or those below it; empty if it holds something else."""
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    first = first_record(files[0]) if files and files[0].suffix == ".jsonl" else None
    return files if isinstance(first, dict) and {"situation", "responses"} <= first.keys() else []


def read_entries(path_or_id: str, fields: Fields | None = None) -> list[Entry]:
    """The rows of a contrast corpus (a folder or one of its files) or of anything that the readers read, in order.

    Raises:
        DataError, UsageError: as `lapd.data.read_situations` and `lapd.pairs.readers.read_rows`.
    """
    from lapd.data import read_situations

    if files := corpus_files(Path(path_or_id).expanduser()):
        situations = [s for file in files for s in read_situations(file)]
        return [Entry(s.id, s.situation, s.responses, s.axis, s.split, s.topic, s.lang) for s in situations]
    return [
        Entry(
            where=f"line {row.number}",
            prompt=row.prompt,
            responses={"chosen": row.chosen, "rejected": row.rejected},
            axis=str(row.source.get("axis", "")),
            topic=str(row.source.get("topic", "")),
        )
        for row in read_rows(path_or_id, fields)
    ]


def axes_of(entries: Iterable[Entry]) -> list[str]:
    """The axes that rows name, in LAPD's order; others after them."""
    named = dict.fromkeys(entry.axis for entry in entries if entry.axis)
    return [*(axis for axis in AXES if axis in named), *(axis for axis in named if axis not in AXES)]


def shipped_statements() -> list[str]:
    """Every statement of the shipped questionnaires, in all forms and languages."""
    from lapd.data import FOLDER
    from lapd.questionnaires.reading import read_questionnaire

    forms = sorted((FOLDER / "questionnaires").glob("*.json"))
    return [text for form in forms for item in read_questionnaire(form).items for text in item.statements.values()]
