"""The answer in what a model wrote, without the reasoning before it: taken off before anything is read out of a text.

Models that reason put their thoughts into a block, and drafts of the answer stand in it. What is stored is always the
raw response; every reader of a text begins with `answer_of`.
"""

from __future__ import annotations

import re

ALL_REASONING = "the response is reasoning alone"
"""Why a response has no verdict that holds reasoning and no answer."""

_NAME = (
    r"(?:(?:[a-z0-9]+[:_-])*|ant)(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|rationale|monologue"
    r"|scratch_?pad|chain_of_thought|cot)(?:[_-]\w+)?"
)
"""What blocks of reasoning are called: `<think>`, `<seed:think>`, `<inner_thoughts>`, `<reasoning_process>`."""

_MARK = re.compile(
    rf"(?P<quoted>`<\s*/?\s*{_NAME}\s*>`)"
    rf"|(?P<closes><\s*/\s*{_NAME}\s*>|<\|(?:end[_▁]of[_▁]|end_|/){_NAME}\|>|\[/(?:think(?:ing)?|reasoning)\]|◁/think▷"
    r"|<channel\|>|<unused95>|\[end_thought\]|<\|start_response\|>"
    r"|(?:<\|end\|>\s*)?(?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*final\s*<\|message\|>)"
    rf"|<\s*{_NAME}(?:\s[^<>]*)?>|<\|(?:begin[_▁]of[_▁]|start_)?{_NAME}\|>|\[(?:think(?:ing)?|reasoning)\]|◁think▷"
    r"|<unused94>thought\b|\[begin_thought\]"
    r"|(?:<\|start\|>\s*assistant\s*)?<\|channel\|?>\s*(?:analysis|thought)\b(?:\s*<\|message\|>)?",
    re.IGNORECASE,
)
"""Where a block opens or closes, by a tag, a special token or a channel; one in backticks is only spoken of."""

_IN_WORDS = re.compile(
    r"\s*(?:analysis(?=[A-Z])(?:.*?assistantfinal|.*)"
    r"|Here(?:'s| is) my thought process:.*?Here(?:'s| is) my response:)",
    re.DOTALL,
)
"""Reasoning that words enclose: channels whose special tokens a tokenizer has dropped, and some models' sentences."""


_LAST = re.compile(r"(?:\s*<\|(?:return|end_response|end)\|>)+\s*$", re.IGNORECASE)
"""Special tokens that such a model ends its answer with, where a tokenizer has kept them."""


def answer_of(text: str) -> str:
    """What stands outside of the blocks of reasoning; "" where one never closes.

    A text that holds only the end of a block began inside it: the chat template had opened it. One without any block
    comes back as it is.
    """
    if in_words := _IN_WORDS.match(text):
        return text[in_words.end() :].strip()
    marks = [mark for mark in _MARK.finditer(text) if not mark["quoted"]]
    if not marks:
        return text
    kept: list[str] = []
    start, inside = 0, False
    for mark in marks:
        if mark["closes"]:
            if not inside:
                kept.clear()
            start, inside = mark.end(), False
        elif not inside:
            kept.append(text[start : mark.start()])
            inside = True
    return "" if inside else _LAST.sub("", "\n".join([*kept, text[start:]])).strip()


def opened_by(prompt: str) -> str:
    """The mark with which a rendered prompt has opened a block of reasoning for the model to go on in; "" without one.

    Such a model's text has no opening of its own, and where it breaks off in the block, no mark at all.
    """
    marks = list(_MARK.finditer(prompt))
    last = marks[-1] if marks else None
    if last is None or last["closes"] or last["quoted"] or prompt[last.end() :].strip():
        return ""
    return last[0]
