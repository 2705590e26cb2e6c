"""What a judge says of itself, and having it judge: one verdict for each response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lapd.errors import PluginError
from lapd.files.progress import bar
from lapd.hookspecs import Judge, Verdict
from lapd.reasoning import ALL_REASONING, answer_of


def judge_identity(judge: Judge) -> dict[str, Any]:
    """What a judge's verdicts depend on: part of a judged cell's identity."""
    settings = dict(getattr(judge, "settings", {}))
    return {"name": judge.name, "version": str(getattr(judge, "version", "")), "settings": settings}


def describe_judge(judge: Judge) -> dict[str, Any]:
    """A judge's identity, and its note if it has one: what is written beside its numbers."""
    return judge_identity(judge) | ({"note": note} if (note := judge_note(judge)) else {})


def judge_note(judge: Judge) -> str:
    """What is said wherever the judge's numbers appear; "" for nothing."""
    return str(getattr(judge, "note", ""))


def verdicts_of(judge: Judge, batch: Sequence[tuple[str, str]]) -> Iterator[Verdict]:
    """The judge's verdicts as they come, one for each (prompt, response), on what stands behind a response's reasoning.

    A response of reasoning alone is not judged: its verdict is missing.

    Raises:
        PluginError: there are more or fewer, or something else came.
    """
    answers = [(prompt, answer_of(response)) for prompt, response in batch]
    judged = [bool(answer.strip()) or not raw.strip() for (_, answer), (_, raw) in zip(answers, batch, strict=True)]
    given = _given(judge, [pair for pair, asked in zip(answers, judged, strict=True) if asked])
    for asked in judged:
        yield next(given) if asked else Verdict(None, ALL_REASONING)
    yield from given  # nothing, or the error that there are too many


def _given(judge: Judge, batch: Sequence[tuple[str, str]]) -> Iterator[Verdict]:
    count = 0
    wrong = PluginError(f"The judge {judge.name} did not give one verdict for each of {len(batch)} responses.")
    for count, verdict in enumerate(judge.judge(batch) if batch else (), 1):
        if count > len(batch) or not isinstance(verdict, Verdict):
            raise wrong
        nameless = verdict.flagged is None and not verdict.reason
        yield Verdict(None, "the judge gave no reason") if nameless else verdict
    if count != len(batch):
        raise wrong


def judge_all(judge: Judge, batch: Sequence[tuple[str, str]], quiet: bool = False) -> list[Verdict]:
    """Every verdict, with a progress bar.

    Raises:
        LapdError: the judge cannot be used at all.
    """
    return list(shown(verdicts_of(judge, batch), len(batch), judge.name, quiet))


def shown(verdicts: Iterable[Verdict], total: int, name: str, quiet: bool = False) -> Iterator[Verdict]:
    """The same verdicts, counted on a progress bar."""
    with bar(total, f"judge {name}", "response", quiet) as progress:
        for verdict in verdicts:
            progress.update()
            yield verdict
