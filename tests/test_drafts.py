"""`lapd traits write`: a model drafts situations and items for a pack's axes, within bounds, to be reviewed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lapd.files.whole import read_json, read_jsonl
from lapd.names import find_pack
from lapd.testing.fault_server import FaultServer, words
from lapd.traits.situations import read_situations

PACK = """
schema: lapd.traits/1
name: warmth
licence: CC0-1.0
axes:
  - id: warmth
    poles:
      - {code: warm, name: warm, description: Is glad of people., system_prompt: You are glad of people.}
      - {code: cold, name: cold, description: Keeps people at arm's length., system_prompt: You keep your distance.}
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "warmth"
    folder.mkdir()
    (folder / "traits.yaml").write_text(PACK)
    return folder


class Drafting(FaultServer):
    """A model that drafts as it is told; a text of `refused` comes first, once."""

    refused = ""

    def answer(self, body: Mapping[str, Any]) -> str:
        key = json.dumps(body["messages"])
        about, count = ("situation", 32) if '"situation"' in body["messages"][-1]["content"] else ("facet", 10)
        first = self.refused or words(f"{key}1", count)
        self.refused = ""
        subject, second = words(key, 8 if count == 32 else 2), words(f"{key}2", count)
        return json.dumps({about: subject, "first": first, "second": second})


def write(invoke: Callable[..., Any], server: FaultServer, pack: Path, *more: object) -> Any:
    where = ("--base-url", server.url, "--model", "M")
    return invoke("traits", "write", pack, *where, "--situations", 11, "--items", 2, "--json", *more)


def test_drafts_have_the_form_of_the_packs_files_and_lie_apart(invoke: Callable[..., Any], pack: Path) -> None:
    with Drafting() as server:
        result = write(invoke, server, pack)
    assert result.exit_code == 0, result.stderr
    corpus, questionnaire = pack / "drafts/contrast/en/warmth.jsonl", pack / "drafts/questionnaire-a.en.json"
    assert json.loads(result.stdout)["files"] == {str(corpus): 11, str(questionnaire): 2}
    situations = read_situations(corpus, find_pack(str(pack)).ends)
    assert [s.split for s in situations] == ["train"] * 8 + ["heldout"] * 3
    assert {row["licence"] for _, row in read_jsonl(corpus)} == {"CC0-1.0"}
    record = read_json(questionnaire)
    assert record["provenance"] == "Drafted by a model; not reviewed."
    assert [list(item["statements"]) for item in record["items"]] == [["warm", "cold"]] * 2
    assert not (pack / "contrast").exists()
    prompts = [body["messages"][-1]["content"] for body in server.bodies]
    assert len(prompts) == len(set(prompts)) == 13
    assert all("Is glad of people." in text and "Keeps people at arm's length." in text for text in prompts)


def test_the_same_command_again_asks_nothing_and_a_ceiling_keeps_what_is_there(
    invoke: Callable[..., Any], pack: Path
) -> None:
    with Drafting() as server:
        stopped = write(invoke, server, pack, "--max-requests", 5, "--concurrency", 1)
        assert stopped.exit_code == 1
        assert re.search(r"Error: .*5", stopped.stderr)
        assert len(server.bodies) == 5
        assert write(invoke, server, pack).exit_code == 0
        assert write(invoke, server, pack).exit_code == 0
    assert len(server.bodies) == 13


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Too short.", "a text has 2 words, not"),
        (words("x", 31) + " warm", "a text names a pole"),
        (words("x", 58), "the two texts have 58 and 32 words"),
    ],
)
def test_a_draft_that_breaks_a_rule_is_asked_for_again(
    invoke: Callable[..., Any], pack: Path, text: str, reason: str
) -> None:
    with Drafting() as server:
        server.refused = text
        result = write(invoke, server, pack, "--items", 0, "--concurrency", 1)
    assert result.exit_code == 0, result.stderr
    assert len(server.bodies) == 12
    kept = [row for _, row in read_jsonl(pack / "drafts" / "drafts.items.jsonl")]
    assert [row["reason"].startswith(reason) for row in kept if "reason" in row] == [True]


def test_a_generator_that_drafts_nothing_is_refused(invoke: Callable[..., Any], pack: Path) -> None:
    result = invoke("traits", "write", pack, "--generator", "contrast")
    assert (result.exit_code, "The generator contrast drafts nothing." in result.stderr) == (2, True)
