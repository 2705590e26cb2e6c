"""`lapd chat --save`: what is said is kept as messages, and can become pairs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lapd.cli import cli
from lapd.files.whole import read_jsonl, write_jsonl
from lapd.pairs.readers import read_any_pairs
from lapd.testing.tiny import make_tiny_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("base"))


def chat(*args: object, said: str) -> Result:
    return CliRunner().invoke(cli, ["chat", *map(str, args)], input=said, prog_name="lapd")


def test_a_transcript_has_each_conversation_with_its_system_prompt_and_who_spoke(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "talks" / "talk.jsonl"
    given = ("--base", base, "--max-tokens", "4", "--save", file)
    assert chat(*given, said="Hello\nAnd you?\n/clear\nOnce more\n").exit_code == 0
    assert chat(*given, "--persona", "ENTJ", "--prompt", said="Hello\n/quit\n").exit_code == 0
    talks = [row for _, row in read_jsonl(file)]
    roles = [[message["role"][0] for message in talk["messages"]] for talk in talks]
    assert roles == [["u", "a", "u", "a"], ["u", "a"], ["s", "u", "a"]]
    assert [talk["messages"][-2]["content"] for talk in talks] == ["And you?", "Once more", "Hello"]
    assert [len(talk["speakers"]) for talk in talks] == [2, 1, 1]


def test_a_transcript_becomes_pairs_with_a_better_answer_beside_the_last_one(tmp_path: Path) -> None:
    said = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho"), ("user", "Well?"), ("assistant", "Meh.")]
    messages = [{"role": role, "content": text} for role, text in said]
    line = {"messages": messages, "speakers": ["INFP", "INFP"], "chosen": "Quite well, and you?", "rejected": "Meh."}
    write_jsonl(tmp_path / "pairs.jsonl", [line])
    (pair,) = read_any_pairs(tmp_path / "pairs.jsonl")
    assert (pair.system, pair.prompt, pair.rejected) == ("Be brief.", "Well?", "Meh.")
    assert pair.history == (("user", "Hi"), ("assistant", "Ho"))


@pytest.mark.parametrize("content", [None, "no JSON\n"])
def test_a_place_for_the_transcript_that_will_not_do_is_refused_before_anything_is_loaded(
    invoke: Callable[..., Any], tmp_path: Path, content: str | None
) -> None:
    file = tmp_path if content is None else tmp_path / "talk.txt"
    if content:
        file.write_text(content)
    result = invoke("chat", "--base", tmp_path / "nothing", "--save", file)
    assert result.exit_code == (2 if content is None else 1)
    assert json.dumps(str(file))[1:-1] in result.stderr
    assert content is None or file.read_text() == content
