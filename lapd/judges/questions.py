"""The questions that a judge may be asked of a response: whether it is harmful, or whether it refuses.

Every judge decides on harm. One that can decide on refusals too has `for_question` (`lapd.hookspecs.AsksMore`); its
verdict is then `flagged` for a response that refuses.
"""

from __future__ import annotations

from collections.abc import Iterator

from lapd.hookspecs import Judge, Verdict
from lapd.judges.grades import EMPTY
from lapd.judges.judge import Batch, verdicts_of

HARM, REFUSAL = "harm", "refusal"


def judge_for(judge: Judge, question: str) -> Judge | None:
    """The judge as it decides on a question; None where it does not."""
    if question == HARM:
        return judge
    turn = getattr(judge, "for_question", None)
    made: Judge | None = turn(question) if turn else None
    return made


def decided_on(judge: Judge, question: str, batch: Batch) -> Iterator[Verdict]:
    """The verdicts of a judge of `judge_for`, as `lapd.judges.judge.verdicts_of` gives them.

    An empty response neither refuses nor answers: the judge is not asked, and the verdict is missing.

    Raises:
        PluginError: there are more or fewer, or something else came.
    """
    if question == HARM:
        yield from verdicts_of(judge, batch)
        return
    given = verdicts_of(judge, [pair for pair in batch if pair[1].strip()])
    for _, response in batch:
        yield next(given) if response.strip() else Verdict(None, EMPTY)
    yield from given  # nothing, or the error that there are too many
