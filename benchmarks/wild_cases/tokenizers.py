"""Tokenizers and chat templates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wild_cases import command, expect, kind, refused, without_warnings
from wild_cases.adapters import lora, make_adapter
from wild_cases.architectures import SMALL

Case = tuple[str, str]


def said(*words: object, text: str) -> tuple[int, str, str]:
    """`lapd chat` with what a user types."""
    from click.testing import CliRunner

    from lapd.cli import cli

    options = ["chat", *map(str, words), "--max-tokens", "2", "--temperature", "0"]
    result = CliRunner().invoke(cli, options, input=text, prog_name="lapd")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def settings_of(base: Path, **changes: Any) -> None:
    settings = json.loads((base / "tokenizer_config.json").read_text()) | changes
    (base / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))


@kind("A chat template that is missing, one of several, or broken is a line", slow=True)
def templates(folder: Path) -> Iterator[Case]:
    from lapd.testing.tiny import CHATML, make_tiny_base

    whole = make_tiny_base(folder / "whole")
    several = [{"name": name, "template": CHATML} for name in ("rag", "tool_use")]
    for label, text, more, word in (
        ("none", None, {}, "no chat template"),
        ("several and no default", None, {"chat_template": several}, "several chat templates"),
        ("one that ends too soon", "{% for message in messages %}", {}, "cannot be rendered"),
        ("one that calls what there is not", "{{ nothing.at_all() }}", {}, "cannot be rendered"),
        ("one that refuses all", "{{ raise_exception('no') }}", {}, "cannot be rendered"),
    ):
        base = Path(shutil.copytree(whole, folder / label.replace(" ", "_")))
        (base / "chat_template.jinja").unlink()
        if text is not None:
            (base / "chat_template.jinja").write_text(text)
        settings_of(base, **more)
        yield (
            f"lapd train, {label}",
            refused(command("train", "INFP", "--base", base, "-o", folder / "no", *SMALL), word),
        )
        yield f"lapd chat, {label}", refused(said("--base", base, text="Hello\n"), word)


@kind("lapd chat --prompt finds a place for the prompt, or says where it puts it", slow=True)
def prompts(folder: Path) -> Iterator[Case]:
    from lapd.testing.tiny import CHATML, make_tiny_base

    base = make_tiny_base(folder / "base")
    refuses = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
    )
    drops = (
        "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    )
    trims = CHATML.replace("message['content']", "message['content'] | trim")
    for label, text, folded in (
        ("ChatML", CHATML, False),
        ("one that trims", trims, False),
        ("one that refuses a system role", refuses, True),
        ("one that drops it", drops, True),
    ):
        (base / "chat_template.jinja").write_text(text)
        code, _, errors = said("--base", base, "--persona", "ENTJ", "--prompt", text="Hello\nAnd you?\n")
        yield label, expect((code, errors.count("before your words")), (0, int(folded)))


@kind("A tokenizer without an end or padding, or with more tokens than the model, does no harm or is a line", slow=True)
def odd_tokens(folder: Path) -> Iterator[Case]:
    from transformers import AutoTokenizer

    from lapd.testing.tiny import CHATML, make_tiny_base

    whole = make_tiny_base(folder / "whole")
    options = ("--arms", "base", "--limit", 2, "--tasks", "situations")

    def tried(base: Path) -> list[int]:
        done = [
            command("train", "INFP", "--base", base, "-o", base / "INFP", *SMALL),
            command("eval", "--base", base, "-o", base / "run", *options),
            said("--base", base, text="Hello\n"),
        ]
        return [code for code, _, _ in done]

    endless = Path(shutil.copytree(whole, folder / "endless"))
    settings_of(endless, eos_token=None, pad_token=None)
    (endless / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    for name in ("config.json", "generation_config.json"):
        config = json.loads((endless / name).read_text())
        (endless / name).write_text(json.dumps(config | {"eos_token_id": None, "pad_token_id": None}))
    yield "no end anywhere", expect(tried(endless), [0, 0, 0])
    open_ended = command("eval", "--base", endless, "-o", endless / "open", "--arms", "base", "--limit", 1,
                         "--tasks", "situations_open")  # fmt: skip
    yield "no end anywhere, answers to be written", refused(open_ended, "no end-of-text token")

    padded = Path(shutil.copytree(whole, folder / "padded"))
    tokenizer = AutoTokenizer.from_pretrained(padded)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.add_tokens("<|beyond|>")
    tokenizer.save_pretrained(padded)
    yield "padding beyond the embedding", expect(tried(padded), [0, 0, 0])
    shutil.rmtree(padded / "INFP")
    (padded / "chat_template.jinja").write_text("<|beyond|>" + CHATML)
    for label, outcome in (
        ("train", command("train", "INFP", "--base", padded, "-o", padded / "INFP", *SMALL)),
        ("eval", command("eval", "--base", padded, "-o", padded / "again", *options)),
        ("chat", said("--base", padded, text="Hello\n")),
    ):
        yield f"lapd {label} with a token beyond the embedding", refused(outcome, "<|beyond|>", "beyond the model's")


@kind("A baked model's tokenizer reads texts as its base's does", slow=True)
def baked(folder: Path) -> Iterator[Case]:
    from transformers import AutoTokenizer

    from lapd.testing.tiny import make_tiny_base

    base = make_tiny_base(folder / "base")
    words = json.loads((base / "tokenizer.json").read_text())["model"]
    (base / "vocab.json").write_text(json.dumps(words["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in words["merges"]]
    (base / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (base / "tokenizer.json").unlink()
    extra = {"<|tool|>": len(words["vocab"]), "<|extra|>": len(words["vocab"]) + 1}
    (base / "added_tokens.json").write_text(json.dumps(extra))
    ends = {"eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    (base / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer", **ends}))
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates/rag.jinja").write_text("{{ messages[0].content }}")
    part = make_adapter(folder / "A", base, lora())
    with without_warnings():
        code, _, errors = command("merge", part, "--base", base, "--into-base", "-o", folder / "baked")
    yield "baking", expect((code, "Traceback" in errors), (0, False))
    for text in ("<|tool|> and <|extra|>x", "A quiet morning.", "日本語 😀\t\n  two", "<|im_end|>"):
        before, after = (AutoTokenizer.from_pretrained(f)(text)["input_ids"] for f in (base, folder / "baked"))
        yield text, expect(after, before)
    for name in ("added_tokens.json", "additional_chat_templates/rag.jinja"):
        yield name, expect((folder / "baked" / name).is_file(), True)
