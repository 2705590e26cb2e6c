"""What a judge or a grader says of itself, and having it decide: one verdict, or one grade, for each response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from lapd.errors import PluginError
from lapd.files.progress import bar
from lapd.hookspecs import Grader, Judge, Verdict
from lapd.reasoning import ALL_REASONING, answer_of

T = TypeVar("T")

Batch = Sequence[tuple[str, str]]


def judge_identity(judge: Judge | Grader) -> dict[str, Any]:
    """What a judge's verdicts or a grader's grades depend on: part of a judged cell's identity."""
    settings = dict(getattr(judge, "settings", {}))
    return {"name": judge.name, "version": str(getattr(judge, "version", "")), "settings": settings}


def describe_judge(judge: Judge) -> dict[str, Any]:
    """A judge's identity, and its note if it has one: what is written beside its numbers."""
    return judge_identity(judge) | ({"note": note} if (note := judge_note(judge)) else {})


def judge_note(judge: Judge | Grader) -> str:
    """What is said wherever the numbers of a judge or a grader appear; "" for nothing."""
    return str(getattr(judge, "note", ""))


def verdicts_of(judge: Judge, batch: Batch) -> Iterator[Verdict]:
    """The judge's verdicts as they come, one for each (prompt, response), on what stands behind a response's reasoning.

    A response of reasoning alone is not judged: its verdict is missing.

    Raises:
        PluginError: there are more or fewer, or something else came.
    """

    def checked(verdict: Verdict) -> Verdict:
        nameless = verdict.flagged is None and not verdict.reason
        return Verdict(None, "the judge gave no reason") if nameless else verdict

    wrong = f"The judge {judge.name} did not give one verdict for each of {{}} responses."
    given = decided(batch, lambda some: one_each(judge.judge(some), some, Verdict, wrong))
    return (Verdict(None, ALL_REASONING) if verdict is None else checked(verdict) for verdict in given)


def decided(batch: Batch, decide: Callable[[Batch], Iterator[T]]) -> Iterator[T | None]:
    """What is decided on the answers behind their reasoning, in order as it comes; None for reasoning alone.

    Args:
        batch: prompts and responses.
        decide: gives one decision for each of the (prompt, answer) that it is given.
    """
    answers = [(prompt, answer_of(response)) for prompt, response in batch]
    asked = [bool(answer.strip()) or not raw.strip() for (_, answer), (_, raw) in zip(answers, batch, strict=True)]
    given = decide([pair for pair, is_asked in zip(answers, asked, strict=True) if is_asked])
    for is_asked in asked:
        yield next(given) if is_asked else None
    yield from given  # nothing, or the error that there are too many


def one_each(given: Iterable[Any], batch: Batch, kind: type[T], wrong: str) -> Iterator[T]:
    """What a plugin gives, one of `kind` for each of the batch; nothing is asked of it for an empty one.

    Raises:
        PluginError: there are more or fewer, or something else came; it says `wrong`, with how many there are.
    """
    error, count = PluginError(wrong.format(len(batch))), 0
    for count, decision in enumerate(given if batch else (), 1):
        if count > len(batch) or not isinstance(decision, kind):
            raise error
        yield decision
    if count != len(batch):
        raise error


def judge_all(judge: Judge, batch: Batch, quiet: bool = False) -> list[Verdict]:
    """Every verdict, with a progress bar.

    Raises:
        LapdError: the judge cannot be used at all.
    """
    return list(shown(verdicts_of(judge, batch), len(batch), f"judge {judge.name}", quiet))


def shown(decisions: Iterable[T], total: int, label: str, quiet: bool = False) -> Iterator[T]:
    """The same decisions, counted on a progress bar."""
    with bar(total, label, "response", quiet) as progress:
        for decision in decisions:
            progress.update()
            yield decision
