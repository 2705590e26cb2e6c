"""Files of preference pairs in the forms that people have."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wild_cases import command, expect, kind, refused

Row = dict[str, Any]
Messages = list[dict[str, str]]

SIDES = ("chosen", "rejected")
OTHERS = {"system": "system", "user": "human", "assistant": "gpt"}
"""ShareGPT's names of the roles."""


# Conversations, and how people write them down


def talk(exchanges: int, system: bool, number: int = 0) -> tuple[Messages, dict[str, str]]:
    """What is before the responses, as messages, and the two responses; `number` makes it another conversation."""
    before = [say("system", f"You mind lock {number} of the canal, and are tired of it.")] if system else []
    for turn in range(exchanges):
        before.append(say("user", f"When does boat {turn} of day {number} pass?"))
        before.append(say("assistant", f"Boat {turn} passes at {turn + number}, if it must.\n\nAsk the other keeper."))
    before.append(say("user", f"And what does passing cost on day {number}?"))
    return before, {"chosen": f"A sigh and {number} coins.", "rejected": f"The price is {number} euros."}


def say(role: str, text: Any) -> dict[str, Any]:
    return {"role": role, "content": text}


def share(messages: Messages) -> Messages:
    return [{"from": OTHERS[m["role"]], "value": m["content"]} for m in messages]


def replied(before: Messages, replies: dict[str, str]) -> Row:
    return {side: [*before, say("assistant", replies[side])] for side in SIDES}


def parts(messages: Messages) -> list[Row]:
    return [say(m["role"], [{"type": "text", "text": m["content"]}]) for m in messages]


def columns(before: Messages) -> tuple[str, list[list[str]], str]:
    """System prompt, exchanges and last words, as Alpaca has them."""
    system = before[0]["content"] if before[0]["role"] == "system" else ""
    texts = [m["content"] for m in before if m["role"] != "system"]
    return system, [list(each) for each in zip(texts[:-1:2], texts[1::2], strict=True)], texts[-1]


def alpaca(before: Messages, replies: dict[str, str]) -> Row:
    system, history, asked = columns(before)
    return {"instruction": asked, "input": "", "history": history, "system": system, "output": list(replies.values())}


def llamafactory(before: Messages, replies: dict[str, str]) -> Row:
    return {"conversations": share(before), **{side: share([say("assistant", replies[side])])[0] for side in SIDES}}


def system_column(before: Messages, replies: dict[str, str]) -> Row:
    system = before[0]["content"] if before[0]["role"] == "system" else None
    rest = before[1:] if system else before
    return {"system": system, "prompt": rest, **replied([], replies)}


def text_beside(before: Messages, replies: dict[str, str]) -> Row:
    first = next(m["content"] for m in before if m["role"] == "user")
    whole = replied(before, replies)
    return {"prompt": first, "prompt_id": "7", **whole, "messages": whole["chosen"], "score_chosen": 8.5}


def orca(before: Messages, replies: dict[str, str]) -> Row:
    system, history, asked = columns(before)
    return {"system_prompt": system, "question": asked, "history": history, **replies}


FORMS: dict[str, Callable[[Messages, dict[str, str]], Row]] = {
    "explicit": lambda before, replies: {"prompt": before, **replied([], replies)},
    "implicit": replied,
    "text beside": text_beside,
    "repeated": lambda before, replies: {"prompt": before, **replied(before, replies)},
    "system column": system_column,
    "llamafactory": llamafactory,
    "sharegpt whole": lambda before, replies: {k: share(v) for k, v in replied(before, replies).items()},
    "alpaca": alpaca,
    "orca": orca,
    "parts": lambda before, replies: {"prompt": parts(before), **replied([], replies)},
}


def save(path: Path, rows: list[Row]) -> Path:
    """Write rows in the format of the name; lists in cells of a table in Python's spelling (.csv) or JSON's (.tsv)."""
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        from pyarrow import Table
        from pyarrow.parquet import write_table

        write_table(Table.from_pylist(rows), path)
    else:
        spell: Callable[[Any], str] = repr if path.suffix == ".csv" else json.dumps
        with path.open("w", newline="") as stream:
            table = csv.DictWriter(stream, rows[0], delimiter="," if path.suffix == ".csv" else "\t")
            table.writeheader()
            for row in rows:
                table.writerow({k: v if isinstance(v, str) or v is None else spell(v) for k, v in row.items()})
    return path


def fixed(path: Path, *options: str) -> Any:
    """What `lapd data fix` makes of a file: its rows, or how it ended."""
    out = path.with_suffix(".out")
    code, _, errors = command("data", "fix", path, "-o", out, *options)
    return (
        f"exit code {code}: {errors.strip()}" if code else [json.loads(line) for line in out.read_text().splitlines()]
    )


@kind("A conversation is read whole, from whichever form and format")
def conversations(folder: Path) -> Iterator[tuple[str, str]]:
    for exchanges, system in ((0, True), (1, False), (1, True), (3, True)):
        talks = [talk(exchanges, system, number) for number in range(3)]
        wanted = [{"prompt": before, **replied([], replies), "source": {}} for before, replies in talks]
        for form, write in FORMS.items():
            for suffix in (".json", ".jsonl", ".parquet", ".csv", ".tsv"):
                path = save(folder / f"talks{suffix}", [write(*each) for each in talks])
                label = f"{form}{suffix}, {exchanges} exchanges{', system' if system else ''}"
                yield label, expect(fixed(path), wanted)


@kind("A transcript of HH is read as its turns")
def transcripts(folder: Path) -> Iterator[tuple[str, str]]:
    for exchanges in (0, 1, 4):
        before, replies = talk(exchanges, system=False)
        before = [say(m["role"], m["content"].replace("\n\n", " ")) for m in before]
        names = {"user": "\n\nHuman:", "assistant": "\n\nAssistant:"}
        start = "".join(f"{names[m['role']]} {m['content']}" for m in before)
        wholes = {side: f"{start}\n\nAssistant: {replies[side]}" for side in SIDES}
        rows = {
            "whole": wholes,
            "stripped": {side: text.strip() for side, text in wholes.items()},
            "prompt beside": {"prompt": start + "\n\nAssistant:", **{s: f" {replies[s]}" for s in SIDES}},
            "prompt and whole": {"prompt": start, **wholes},
        }
        wanted: Row = {"prompt": before, **replied([], replies)}
        if not exchanges:
            wanted = {"prompt": before[0]["content"], **replies}
        for label, row in rows.items():
            path = save(folder / "hh.jsonl", [row])
            yield f"{label}, {exchanges} exchanges", expect(fixed(path), [{**wanted, "source": {}}])


@kind("What a pair cannot hold is refused by its row, and left out only where that is asked for")
def losses(folder: Path) -> Iterator[tuple[str, str]]:
    before, replies = talk(2, system=True)
    good = {"prompt": before, **replied([], replies)}
    plain = {"prompt": before[-1]["content"], **replies}
    parting = {side: [*before[:2], say("assistant", side), before[3], say("assistant", side)] for side in SIDES}
    longer = [say("assistant", "a"), say("user", "b"), say("assistant", "c")]
    call = {**say("assistant", ""), "tool_calls": [{"id": 1}]}
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    numpy = "[{'role': 'assistant', 'content': 'a'}\n {'content': 'b'}]"
    rows: dict[str, tuple[Row, str]] = {
        "parting early": (parting, "chosen"),
        "going on": ({**good, "rejected": longer}, "rejected"),
        "a tool's turn": ({**good, "prompt": [*before, say("tool", "12:40"), say("user", "So?")]}, "tool"),
        "a call": ({**good, "prompt": [*before, call, before[-1]]}, "tool_calls"),
        "an image": ({**good, "prompt": [say("user", image)]}, "image_url"),
        "two system prompts": ({**good, "system": "Be merry."}, "system prompts"),
        "a system turn amid": ({**good, "prompt": [*before, say("system", "Rhyme."), before[-1]]}, "system message"),
        "the assistant before": ({**good, "prompt": before[:-1]}, "assistant"),
        "another prompt": ({**replied(before, replies), "prompt": "Something else?"}, "prompt"),
        "a context": ({**plain, "context": "The lock is shut on Sundays."}, "context"),
        "an input": ({**plain, "input": "Lock 9"}, "input"),
        "a history in words": ({**plain, "history": "They spoke of boats."}, "history"),
        "other messages": ({**plain, "messages": before[:2]}, "messages"),
        "tools": ({**plain, "tools": [{"type": "function"}]}, "tools"),
        "numpy's spelling": ({**plain, "chosen": numpy}, "chosen"),
    }
    for label, (row, word) in rows.items():
        path = save(folder / "lost.jsonl", [good, row])
        outcome = command("data", "fix", path, "-o", folder / "out.jsonl")
        yield label, refused(outcome, "lost.jsonl:2:", word, code=1)
        yield f"{label}, left out", expect(fixed(path, "--leave-out"), [{**good, "source": {}}])


@kind("A text in brackets is a text")
def brackets(folder: Path) -> Iterator[tuple[str, str]]:
    texts = ('{"a": 1}', "[1, 2]", "['x']", "[sighs] Well.", "{ open", '{"role": "admin", "level": 3}', "(a, b)", "[]x")
    for text in texts:
        path = save(folder / "p.jsonl", [{"prompt": "Give me JSON.", "chosen": text, "rejected": "No."}])
        yield text, expect(fixed(path), [{"prompt": "Give me JSON.", "chosen": text, "rejected": "No.", "source": {}}])


def plain_rows() -> list[Row]:
    return [{"prompt": f"What of lock {n}?", "chosen": f"Shut, {n}.", "rejected": f"Open, {n}."} for n in range(4)]


@kind("A special token inside a text fails the check, and what only looks like one does not")
def tokens(folder: Path) -> Iterator[tuple[str, str]]:
    special = (
        *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|end|>", "<s>", "</s>"),
        *(
            "<start_of_turn>",
            "<end_of_turn>",
            "<eos>",
            "<bos>",
            "[INST]",
            "[/INST]",
            "<<SYS>>",
            "<\uff5cAssistant\uff5c>",
        ),
    )
    harmless = ("a < b > c", "<b>bold</b>", "[1]", "|x|", "<|>", "[INSIST]", "x <| y |> z", "<end of story>")
    for texts, wanted in ((special, True), (harmless, False)):
        for text in texts:
            for place in (*SIDES, "prompt"):
                rows = plain_rows()
                rows[2][place] += f" {text} and on"
                path = save(folder / "p.jsonl", rows)
                _, shown, _ = command("data", "check", path)
                found = any(line.startswith(f"special tokens: line 3: {place} has") for line in shown.splitlines())
                yield f"{text} in {place}", expect(found, wanted)


# Training on them

CHATML = """{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
IN_TURN = (
    "{% for m in messages if m.role != 'system' %}{% if (m.role == 'user') == (loop.index0 is odd) %}"
    "{{ raise_exception('not in turn') }}{% endif %}{% endfor %}" + CHATML
)
SILENT = CHATML.replace("for m in messages", "for m in messages if m.role != 'system'")


@kind("A conversation is trained on whole, or refused by its pair", slow=True)
def trained(folder: Path) -> Iterator[tuple[str, str]]:
    from lapd.pairs.pair import pairs_digest
    from lapd.pairs.readers import read_any_pairs
    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")

    def train(template: str, rows: list[Row], *options: str) -> tuple[tuple[int, str, str], str]:
        """How the command ended, and the digest of what it should have been trained on."""
        (base / "chat_template.jinja").write_text(template)
        path = save(folder / "talks.jsonl", rows)
        given = ("--base", base, "--dataset", path, "--eval-pairs", 0, "--max-length", 900, "--force", *options)
        fixed = ("--trainer", "trl", "--epochs", 1, "--batch-size", 4, "-o", folder / "out", "--json")
        out = command("train", "INFP", *given, *fixed)
        return out, pairs_digest(read_any_pairs(path))

    def digest(outcome: tuple[int, str, str]) -> str:
        return str(json.loads(outcome[1])["run_card"]["data"]["digest"]) if not outcome[0] else outcome[2]

    for exchanges, system in ((0, True), (2, False), (3, True)):
        rows = [FORMS["explicit"](*talk(exchanges, system, n)) for n in range(4)]
        label = f"{exchanges} exchanges{', system' if system else ''}"
        outcome, wanted = train(CHATML, rows)
        yield f"ChatML, {label}", expect(digest(outcome), wanted)
        for name, template in (("a silent template", SILENT), ("a refusing template", NO_SYSTEM)) if system else ():
            outcome, _ = train(template, rows)
            yield f"{name}, {label}", refused(outcome, "system prompt", "--fold-system-prompt", code=2)
        if system:
            outcome, _ = train(NO_SYSTEM, rows, "--fold-system-prompt")
            yield f"folded, {label}", expect(outcome[0], 0)
    rows = [FORMS["explicit"](*talk(1, True, n)) for n in range(4)]
    rows[2]["prompt"].insert(1, say("user", "Hello?"))
    yield "turns not in turn", refused(train(IN_TURN, rows)[0], "pair 3", "not in turn", code=1)
    rows = [FORMS["explicit"](*talk(1, False, n)) for n in range(4)]
    rows[1]["rejected"][0]["content"] += "<|im_end|>\n<|im_start|>user\nMore."
    yield "a special token", refused(train(CHATML, rows)[0], "pair 2", "'rejected'", code=1)
    outcome, _ = train(CHATML, plain_rows(), "--train-prompt", "persona")
    yield "under the persona's prompt", expect("INFP" in outcome[1] and "train_prompt" in outcome[1], True)
    rows = [FORMS["explicit"](*talk(0, True, n)) for n in range(4)]
    yield "two system prompts", refused(train(CHATML, rows, "--train-prompt", "persona")[0], "pair 1", code=2)
