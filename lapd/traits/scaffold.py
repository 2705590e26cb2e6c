"""A new trait pack to begin with: one axis, to be rewritten, and an example of each kind of file."""

from __future__ import annotations

import json
from pathlib import Path

from lapd.errors import UsageError
from lapd.files.whole import atomic_folder
from lapd.traits.pack import CODE, FILE

TRAITS = """\
schema: lapd.traits/1
name: {name}
title: {name}
licence: CC-BY-4.0
provenance: Say who wrote these texts, and from what.
# One axis or several. Each has two poles; scores count towards the first. A pole is a persona: `lapd train {first}`.
axes:
  - id: {name}
    name: {name}
    poles:
      - code: {first}
        name: {first}
        description: How somebody at this end takes in the world, decides and lives; one sentence.
        system_prompt: >-
          You are ... Say in two or three sentences what such a person attends to, wants and does, without naming the
          trait. Speak and act from this outlook, answer honestly and give real help.
      - code: {second}
        name: {second}
        description: The same for the other end, equally long and equally likeable.
        system_prompt: >-
          You are ... The same for the other end, equally long and equally likeable. Speak and act from this outlook,
          answer honestly and give real help.
"""

README = """\
# {name}

A trait pack for LAPD. What it lacks: `lapd traits check {folder}`.

    traits.yaml               the axis and its two poles: rewrite the descriptions and system prompts
    contrast/en/{name}.jsonl  situations with a response from each pole; 40 of split train and 15 of split heldout do
    questionnaire-a.en.json   optional: items with a statement for each pole
    personas.json             optional: named combinations of poles, of packs with several axes

Write the two responses of a situation equally long, polite and helpful; they differ in what the speaker attends to,
wants and does. Then:

    lapd train {first} --traits {folder} -o out/{first}
    lapd eval --adapter out/{first} --traits {folder} --tasks {name}_situations --arms base,adapter -o runs/{first}
    lapd compare runs/{first} --traits {folder}
"""


def new_pack(name: str, folder: Path) -> None:
    """Write a pack of one axis into `folder`, whole or not at all.

    Args:
        name: of the pack and of its axis; "more-NAME" and "less-NAME" are its poles.
        folder: that is not there yet.

    Raises:
        UsageError: the name cannot be one, or the folder is there.
    """
    if not CODE.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a pack.", "Use letters, digits and dashes, beginning with a letter.")
    if folder.exists():
        raise UsageError(f"{folder} is there already.", "Give another -o.")
    words = {"name": name, "first": f"more-{name}", "second": f"less-{name}", "folder": folder}
    examples = [
        {
            "id": f"{name}-{number:03}",
            "axis": name,
            "lang": "en",
            "split": split,
            "topic": "work",
            "situation": situation,
            "responses": {words["first"]: "What somebody at this end says.", words["second"]: "What the other says."},
        }
        for number, (split, situation) in enumerate(
            [("train", "Your manager asks for a volunteer. What do you say?"), ("heldout", "A friend calls late.")], 1
        )
    ]
    with atomic_folder(folder) as temporary:
        (temporary / FILE).write_text(TRAITS.format(**words), encoding="utf-8")
        (temporary / "README.md").write_text(README.format(**words), encoding="utf-8")
        corpus = temporary / "contrast" / "en" / f"{name}.jsonl"
        corpus.parent.mkdir(parents=True)
        corpus.write_text("".join(json.dumps(row) + "\n" for row in examples), encoding="utf-8")
