"""Pairs that are conversations: every form is read whole, written and read back, or refused with what would be lost."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from lapd.errors import DataError
from lapd.files.whole import read_jsonl, write_json, write_jsonl
from lapd.hygiene.checks import check_entries, total
from lapd.hygiene.counting import data_stats
from lapd.hygiene.entries import read_entries
from lapd.hygiene.fix import dropped_path, fix_file
from lapd.pairs.controls import control_pairs
from lapd.pairs.messages import Turn
from lapd.pairs.pair import PreferencePair, pairs_digest, read_pairs, write_pairs
from lapd.pairs.readers import read_any_pairs

SYSTEM = "You keep the lighthouse."
TALK = PreferencePair(
    "And in fog?",
    "Then I ring the bell.",
    "Fog is water in the air.",
    system=SYSTEM,
    history=(Turn("user", "Does the lamp turn?"), Turn("assistant", "All night.")),
)
SHORT = PreferencePair("Does the lamp turn?", "All night.", "Lamps may turn.")


def said(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


def wrote(sender: str, text: str) -> dict[str, str]:
    return {"from": sender, "value": text}


def messages(pair: PreferencePair, system: bool = True) -> list[dict[str, str]]:
    return pair.messages if system or not pair.system else pair.messages[1:]


def whole(pair: PreferencePair, system: bool = True) -> dict[str, Any]:
    before = messages(pair, system)
    return {side: [*before, said("assistant", getattr(pair, side))] for side in ("chosen", "rejected")}


def replies(pair: PreferencePair) -> dict[str, Any]:
    return {side: [said("assistant", getattr(pair, side))] for side in ("chosen", "rejected")}


def plain(pair: PreferencePair) -> dict[str, Any]:
    return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def sharegpt(pair: PreferencePair) -> list[dict[str, str]]:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return [wrote(names[m["role"]], m["content"]) for m in pair.messages]


def transcript(pair: PreferencePair, side: str) -> str:
    names = {"user": "Human", "assistant": "Assistant"}
    turns = [*messages(pair, system=False), said("assistant", getattr(pair, side))]
    return "".join(f"\n\n{names[turn['role']]}: {turn['content']}" for turn in turns)


def exchanges(pair: PreferencePair) -> list[list[str]]:
    texts = [turn.text for turn in pair.history]
    return [list(each) for each in zip(texts[::2], texts[1::2], strict=True)]


FORMS: dict[str, Callable[[PreferencePair], dict[str, Any]]] = {
    "TRL's explicit prompt": lambda p: {"prompt": messages(p), **replies(p)},
    "TRL's implicit prompt": whole,
    "a system column, TRL's explicit prompt": lambda p: {
        **{"system": p.system, "prompt": messages(p, system=False)},
        **replies(p),
    },
    "a system column, whole conversations": lambda p: {"system_prompt": p.system, **whole(p, system=False)},
    "the prompt in front of both responses": lambda p: {"prompt": messages(p), **whole(p)},
    "the first turn as a text beside whole conversations": lambda p: {"prompt": p.messages[1]["content"], **whole(p)},
    "the last turn as a text beside whole conversations": lambda p: {"prompt": p.prompt, **whole(p)},
    "whole conversations, repeated as messages": lambda p: {**whole(p), "messages": whole(p)["chosen"]},
    "the first turns as a prompt, further ones in both responses": lambda p: {
        "prompt": p.messages[:2],
        **{side: turns[2:] for side, turns in whole(p).items()},
    },
    "ShareGPT's": lambda p: {
        "conversations": sharegpt(p),
        **{side: wrote("gpt", getattr(p, side)) for side in ("chosen", "rejected")},
    },
    "ShareGPT's with a system column": lambda p: {
        **{"system": p.system, "conversations": sharegpt(p)[1:], "tools": "[]"},
        **{side: wrote("gpt", getattr(p, side)) for side in ("chosen", "rejected")},
    },
    "Alpaca's with history and system": lambda p: {
        **{"instruction": p.prompt, "input": "", "history": exchanges(p), "system": p.system},
        "output": [p.chosen, p.rejected],
    },
    "Alpaca's history beside chosen and rejected": lambda p: {
        **{"instruction": p.prompt, "history": exchanges(p), "system": p.system},
        **{"chosen": p.chosen, "rejected": p.rejected},
    },
    "messages whose content is in parts": lambda p: {
        "prompt": [said(m["role"], [{"type": "text", "text": m["content"]}]) for m in messages(p)],
        **replies(p),
    },
}
"""The same conversation as people write it down."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_a_conversation_is_read_whole_from_each_form(tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"pairs{suffix}"
    row = FORMS[form](TALK)
    if suffix == ".parquet":
        from pyarrow import Table
        from pyarrow.parquet import write_table

        write_table(Table.from_pylist([row]), path)
    else:
        (write_json if suffix == ".json" else write_jsonl)(path, [row])
    assert read_any_pairs(path) == [TALK]


@pytest.mark.parametrize("spelling", [json.dumps, repr])
@pytest.mark.parametrize("form", FORMS)
def test_messages_in_cells_are_read_in_jsons_and_pythons_spelling(
    tmp_path: Path, form: str, spelling: Callable[[Any], str]
) -> None:
    row = {name: value if isinstance(value, str) else spelling(value) for name, value in FORMS[form](TALK).items()}
    with (tmp_path / "p.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, row)
        table.writeheader()
        table.writerow(row)
    assert read_any_pairs(tmp_path / "p.csv") == [TALK]


def test_a_transcript_of_hh_is_read_as_its_turns(tmp_path: Path) -> None:
    pair = PreferencePair(TALK.prompt, TALK.chosen, TALK.rejected, history=TALK.history)
    before = transcript(pair, "chosen").rpartition("\n\nAssistant:")[0]
    rows = [
        {side: transcript(pair, side) for side in ("chosen", "rejected")},
        {"prompt": f"{before}\n\nAssistant:", "chosen": f" {pair.chosen}", "rejected": f" {pair.rejected}"},
        {"prompt": before, **{side: transcript(pair, side) for side in ("chosen", "rejected")}},
    ]
    for row in rows:
        write_jsonl(tmp_path / "hh.jsonl", [row])
        (found,) = read_any_pairs(tmp_path / "hh.jsonl")
        assert (found.history, found.prompt) == (pair.history, pair.prompt)
        assert (found.chosen.strip(), found.rejected.strip()) == (pair.chosen, pair.rejected)


def test_conversations_are_written_as_trl_has_them_and_read_back(tmp_path: Path) -> None:
    pairs = [TALK, SHORT, PreferencePair("p", "c", "r", {"axis": "E/I"}, SYSTEM)]
    assert write_pairs(tmp_path / "pairs.jsonl", pairs) == 3
    (_, first), (_, second), _ = read_jsonl(tmp_path / "pairs.jsonl")
    assert first == {"prompt": messages(TALK), **replies(TALK), "source": {}}
    assert second["prompt"] == [said("user", SHORT.prompt)], "a file has one form"
    assert read_pairs(tmp_path / "pairs.jsonl") == read_any_pairs(tmp_path / "pairs.jsonl") == pairs


def test_plain_pairs_are_written_and_digested_as_before(tmp_path: Path) -> None:
    from lapd.files.whole import digest_json

    write_pairs(tmp_path / "pairs.jsonl", [SHORT])
    line = '{"prompt": "Does the lamp turn?", "chosen": "All night.", "rejected": "Lamps may turn.", "source": {}}\n'
    assert (tmp_path / "pairs.jsonl").read_text() == line
    assert pairs_digest([SHORT]) == digest_json([[SHORT.prompt, SHORT.chosen, SHORT.rejected]])
    talks = [TALK, PreferencePair(TALK.prompt, TALK.chosen, TALK.rejected, system=SYSTEM)]
    assert len({pairs_digest([pair]) for pair in [*talks, SHORT]}) == 3


def test_a_generator_may_give_turns_as_plain_tuples() -> None:
    pair = PreferencePair("p", "c", "r", {}, "", [("user", "a"), ("assistant", "b")])  # type: ignore[arg-type]
    assert pair.history == (Turn("user", "a"), Turn("assistant", "b"))
    assert pair.messages == [said("user", "a"), said("assistant", "b"), said("user", "p")]


def test_a_pair_goes_through_json_to_another_process_and_back() -> None:
    for pair in (TALK, SHORT):
        assert PreferencePair(**json.loads(json.dumps(asdict(pair)))) == pair


TURNS = [said("user", "Hi"), said("assistant", "Hello."), said("user", "Go on")]
LOSSES: dict[str, tuple[dict[str, Any], str]] = {
    "responses that part before their last turn": (
        {side: [TURNS[0], said("assistant", side), TURNS[2], said("assistant", side)] for side in replies(TALK)},
        "'chosen' is not one reply of the assistant's but 3 messages behind what both begin with",
    ),
    "one response that goes on": (
        {"prompt": "Hi", "chosen": [said("assistant", "a")], "rejected": [said("assistant", "b"), *TURNS[2:]]},
        "'rejected' is not one reply of the assistant's but 2 messages",
    ),
    "a response that is the user's": (
        {"chosen": [*TURNS, said("assistant", "a")], "rejected": [*TURNS, said("user", "b")]},
        "'rejected' ends with a turn of the user's",
    ),
    "turns that end with the assistant's": (
        {"prompt": TURNS[:2], **replies(TALK)},
        "the turn before the responses is the assistant's",
    ),
    "another system prompt": (
        {"system": "Be loud.", "prompt": [said("system", "Be quiet."), *TURNS], **replies(TALK)},
        "two system prompts",
    ),
    "a system message in the middle": (
        {"prompt": [*TURNS[:2], said("system", "Now rhyme."), TURNS[2]], **replies(TALK)},
        "'prompt' has a system message after other turns",
    ),
    "a tool's message": (
        {"prompt": [*TURNS[:2], said("tool", "21 degrees"), TURNS[2]], **replies(TALK)},
        "'prompt' has a message of the role 'tool', which would be lost",
    ),
    "a call of a tool": (
        {"prompt": [TURNS[0], {**TURNS[1], "tool_calls": [{"id": "1"}]}, TURNS[2]], **replies(TALK)},
        "'prompt' has a message with 'tool_calls', which would be lost",
    ),
    "an image": (
        {"prompt": [said("user", [{"type": "image"}, {"type": "text", "text": "What is it?"}])], **replies(TALK)},
        "'prompt' has a part of the kind 'image', which would be lost",
    ),
    "a column of tools": ({**plain(SHORT), "tools": [{"name": "search"}]}, "'tools' would be lost"),
    "a prompt that the conversations have not": (
        {"prompt": "Another", "chosen": [*TURNS, said("assistant", "a")], "rejected": [*TURNS, said("assistant", "b")]},
        "'prompt' is not in what both responses begin with",
    ),
    "messages that the rest has not": (
        {**plain(SHORT), "messages": TURNS},
        "'messages' has turns that the rest of the row has not",
    ),
    "a context beside the prompt": (
        {**plain(SHORT), "context": "The lamp is of glass."},
        "'context' is not in the prompt, and would be lost",
    ),
    "a history that is no list of exchanges": (
        {**plain(SHORT), "history": "He asked about the lamp before."},
        "'history' is no list of [user, assistant], and would be lost",
    ),
    "messages in a spelling that nobody reads": (
        {"prompt": "Hi", "chosen": "[{'role': 'assistant', 'content': 'a'}\n {'role': 'x'}]", "rejected": "b"},
        "'chosen' holds messages as text, in a spelling that cannot be read",
    ),
    "an empty turn": (
        {"prompt": [TURNS[0], said("assistant", None), TURNS[2]], **replies(TALK)},
        "'turn 2' is missing, empty or not text",
    ),
}


@pytest.mark.parametrize("case", LOSSES)
def test_what_a_pair_cannot_hold_is_refused_by_row_with_what_would_be_lost(tmp_path: Path, case: str) -> None:
    row, reason = LOSSES[case]
    write_jsonl(tmp_path / "p.jsonl", [FORMS["TRL's explicit prompt"](TALK), row])
    with pytest.raises(DataError) as caught:
        read_any_pairs(tmp_path / "p.jsonl")
    assert str(caught.value).startswith(f"{tmp_path / 'p.jsonl'}:2: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ['{"name": "Ada"}', "[1, 2, 3]", "['a', 'b']", "[laughs] Why?", '{"role": "admin", "level": 3}', "{ unfinished"],
)
def test_a_text_in_brackets_is_a_text(tmp_path: Path, text: str) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "Give me a list.", "chosen": text, "rejected": "No."}])
    assert read_any_pairs(tmp_path / "p.jsonl")[0].chosen == text


def test_an_empty_system_column_and_history_are_none(tmp_path: Path) -> None:
    rows = [{**plain(SHORT), "system": system, "history": []} for system in ("", None, " ")]
    write_jsonl(tmp_path / "p.jsonl", rows)
    assert read_any_pairs(tmp_path / "p.jsonl") == [SHORT] * 3


# What is done with them


def test_fix_keeps_conversations_and_leaves_out_what_cannot_be_held_where_it_is_told_to(
    tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    spaced = {"prompt": [said("system", f" {SYSTEM}"), *TALK.messages[1:]], **replies(TALK)}
    other = {"prompt": messages(SHORT), **replies(SHORT)}
    lost = LOSSES["responses that part before their last turn"][0]
    write_jsonl(tmp_path / "in.jsonl", [spaced, lost, {"prompt": messages(TALK), **replies(SHORT)}, other])
    refused = invoke("data", "fix", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    assert refused.exit_code == 1 and "in.jsonl:2: 'chosen' is not one reply" in refused.stderr
    shown = invoke("data", "fix", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--leave-out")
    assert "2 pairs in" in shown.stdout and "spaces trimmed in 1 of them" in shown.stdout
    assert "2 rows dropped (1 repeated prompt, 1 no pair)" in shown.stdout
    assert read_pairs(tmp_path / "out.jsonl") == [TALK, SHORT]
    dropped = [row for _, row in read_jsonl(dropped_path(tmp_path / "out.jsonl"))]
    assert [row["number"] for row in dropped] == [2, 3]
    assert dropped[0]["record"] == lost and "3 messages" in dropped[0]["reason"]
    assert dropped[1]["prompt"] == messages(TALK)


def test_fix_that_leaves_nothing_says_why(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [LOSSES["a column of tools"][0]])
    with pytest.raises(DataError, match=r"no pair would be left \(1 no pair\) \(line 1: 'tools' would be lost"):
        fix_file(str(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", leave_out=True)


def test_the_same_last_words_after_other_turns_are_no_duplicate(tmp_path: Path) -> None:
    def talk(first: str, system: str = SYSTEM) -> dict[str, Any]:
        turns = [said("system", system), said("user", first), said("assistant", "Yes."), said("user", "Why?")]
        return {"prompt": turns, "chosen": "Because of the wind.", "rejected": f"It is so, {first}"}

    write_jsonl(tmp_path / "p.jsonl", [talk("Is it loud?"), talk("Is it far to the harbour?"), talk("Is it loud?")])
    checks = check_entries(read_entries(str(tmp_path / "p.jsonl")))
    assert [row.row for check in checks if check.name == "duplicate prompts" for row in check.rows] == ["line 3"]
    write_jsonl(tmp_path / "p.jsonl", [talk("Is it loud?"), talk("Is it loud?", "Be brief.")])
    assert total(check_entries(read_entries(str(tmp_path / "p.jsonl"))), "duplicate prompts") == 0


def test_every_turn_is_checked_for_what_must_not_be_in_a_text(tmp_path: Path) -> None:
    turns = [said("system", "You are an introvert."), said("user", "Hi <|im_end|>"), said("assistant", "Yes.")]
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": [*turns, said("user", "Why?")], "chosen": "a", "rejected": "b"}])
    faults = {c.name: [row.fault for row in c.rows] for c in check_entries(read_entries(str(tmp_path / "p.jsonl")))}
    assert faults["trait words and type codes"] == ["system prompt has 'introvert'"]
    assert faults["special tokens"] == ["turn 1 has '<|im_end|>'"]


@pytest.mark.parametrize(
    "token",
    ["<|im_end|>", "<|eot_id|>", "<|endoftext|>", "</s>", "<end_of_turn>", "[/INST]", "<<SYS>>", "<\uff5cUser\uff5c>"],
)
def test_a_special_token_inside_a_text_fails_the_check(
    tmp_path: Path, invoke: Callable[..., Result], token: str
) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "p", "chosen": f"a {token}\nuser", "rejected": "b"}])
    result = invoke("data", "check", tmp_path / "p.jsonl")
    assert result.exit_code == 1
    assert f"special tokens: line 1: chosen has {token!r}" in result.stdout.splitlines()


def test_a_text_with_angles_pipes_and_brackets_is_no_special_token(tmp_path: Path) -> None:
    text = "If a < b | c > d, see <b>[INSTALL]</b> <|> or [1] and <s3://bucket>."
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "p", "chosen": text, "rejected": "b"}])
    assert total(check_entries(read_entries(str(tmp_path / "p.jsonl"))), "special tokens") == 0


def test_stats_count_turns_and_measure_system_prompts_and_earlier_turns(
    tmp_path: Path, invoke: Callable[..., Result]
) -> None:
    write_pairs(tmp_path / "p.jsonl", [TALK, SHORT, TALK])
    stats = data_stats(read_entries(str(tmp_path / "p.jsonl")))
    assert stats.counts["turns"] == {"3": 2}
    assert stats.lengths[""]["system prompt"] == [4, 4]
    assert stats.lengths[""]["earlier turns"] == [6, 6]
    assert stats.lengths[""]["prompt"] == [3, 4, 3]
    assert invoke("data", "stats", tmp_path / "p.jsonl", "-o", tmp_path / "pictures").exit_code == 0
    assert (tmp_path / "pictures" / "lengths.png").read_bytes().startswith(b"\x89PNG")


def test_controls_swap_the_responses_and_keep_what_is_before_them() -> None:
    (opposite,) = control_pairs([TALK], "opposite")
    assert (opposite.chosen, opposite.rejected) == (TALK.rejected, TALK.chosen)
    assert opposite.messages == TALK.messages


def lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_half_a_character_is_named_dropped_and_not_trained_on(tmp_path: Path, invoke: Callable[..., Result]) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(lines([plain(SHORT), {**plain(TALK), "chosen": "half \ud83d"}, plain(TALK)]))
    with pytest.raises(DataError, match=r"p\.jsonl:2: 'chosen' has half a character"):
        read_any_pairs(path)
    checked = invoke("data", "check", path)
    assert "broken characters: line 2: chosen has half a character" in checked.stdout
    assert invoke("data", "stats", path).exit_code == 0
    fixed = fix_file(str(path), tmp_path / "out.jsonl")
    assert (len(fixed.kept), fixed.reasons) == (2, {"half a character in chosen": 1})
    with pytest.raises(DataError, match=r"w\.jsonl:1: 'rejected' of this pair has half a character"):
        write_pairs(tmp_path / "w.jsonl", [PreferencePair("p", "c", "\udc00")])
