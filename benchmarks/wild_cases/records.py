"""What is kept beside answers and said of them: verdicts and grades, sampling; and advice in an experiment's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from wild_cases import expect, kind

Case = tuple[str, str]

ANSWERS = ("Yes.", "No, never.", "Perhaps, if it rains.", "")


def documents(answers: Sequence[str] = ANSWERS) -> list[dict[str, Any]]:
    """A cell's documents with these answers."""
    return [
        {"item": f"item-{n}", "doc": {"prompt": f"prompt {n}", "category": "c"}, "responses": [[answer]]}
        for n, answer in enumerate(answers)
    ]


@kind("a verdict or a grade counts for the words that it was given on")
def decisions(folder: Path) -> Iterator[Case]:
    from lapd.errors import DataError
    from lapd.hookspecs import Grade, Verdict
    from lapd.record.grades import GRADES
    from lapd.record.second_pass import Asked
    from lapd.record.verdicts import VERDICTS

    changes = {
        "the same words": (documents(), [0, 1, 2, 3]),
        "another answer to the second": (documents(["Yes.", "No!", *ANSWERS[2:]]), [0, 2, 3]),
        "two answers changed places": (documents([ANSWERS[1], ANSWERS[0], *ANSWERS[2:]]), [2, 3]),
        "a space more": (documents(["Yes. ", *ANSWERS[1:]]), [1, 2, 3]),
        "an answer where there was none": (documents([*ANSWERS[:3], "Hm."]), [0, 1, 2]),
        "other items": ([{**one, "item": f"x{n}"} for n, one in enumerate(documents())], None),
        "an item less": (documents(ANSWERS[:3]), None),
    }
    made: dict[str, Any] = {
        "verdicts": [Verdict(n % 2 == 0) for n in range(4)],
        "grades": [Grade(9.0 * n) for n in range(4)],
    }
    for form in (VERDICTS, GRADES):
        path = form.path(folder, "one")
        asked = [Asked(n, "", "", "coherence") for n in range(4)]
        form.keep(path, {"name": "one"}, documents(), asked, made[form.prefix])
        for label, (now, kept) in changes.items():
            try:
                found = form.stored(path, now)[1]
                counted = [asked.document for asked, decision in found if not form.is_missing(decision)]
                yield f"{form.prefix}: {label}", expect(counted, kept)
            except DataError as error:
                yield f"{form.prefix}: {label}", expect(kept, None) and str(error)


@kind("an experiment is advised in its file's keys, and never an option that it has not")
def advice(folder: Path) -> Iterator[Case]:
    from lapd.experiment.advice import KEYS, OWN, in_keys

    for block, config in KEYS.items():
        for field in fields(config):
            option = "--" + field.name.replace("_", "-")
            for text in (f"Give {option}.", f"{option} 3 is no number.", f"Lower {option}, or leave it out."):
                left = set(re.findall(r"--[a-z-]+", in_keys(text, block))) - set(OWN)
                yield f"{block}: {text}", expect(left, set())


@kind("a server that takes no temperature is said to sample, and one that takes it is not")
def sampling(folder: Path) -> Iterator[Case]:
    from lapd.record.endings import remarks

    for without, said in ((["temperature"], True), (["seed"], False), ([], False), (["seed", "temperature"], True)):
        for tasks in (["eqbench"], ["eqbench", "overrefusal"]):
            cells = [
                SimpleNamespace(entry={"task": task, "arm": "base"}, samples=[], result={"asked_without": without})
                for task in tasks
            ]
            lines = [line for line in remarks(cells) if "sampled" in line]
            yield f"{tasks} without {without}", expect(len(lines), int(said))
            if said:
                yield f"{tasks} are named", expect([task in lines[0] for task in tasks], [True] * len(tasks))
