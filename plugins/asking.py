"""Asking a model: each question until it is answered usably, many at once, every answer kept as it comes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from lapd.plugins.answers import Answer, Answers
from lapd.plugins.dialogues import Question

from lapd.endpoints.client import Client, Spent
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.structured import read_answer
from lapd.errors import EndpointError, NoAnswerError
from lapd.files.whole import digest_json


@dataclass(frozen=True)
class Unanswered:
    """A question without a usable answer.

    Attributes:
        id, stage: of the question.
        reason: why, in a few words.
        answers: the unusable answers, oldest first.
    """

    id: str
    stage: str
    reason: str
    answers: tuple[str, ...] = ()


class Asker:
    """Asks for what is not there yet, and keeps what comes.

    Args:
        endpoint: where the model answers.
        answers: what is there already, and where more is kept.
        tries: ask so often before a question is set aside.
        max_tokens: most tokens in an answer; None for each question's own bound.
        temperature: of the sampling; None for the server's own.
        progress: a tqdm bar, beside which what was spent is shown.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        answers: Answers,
        tries: int,
        max_tokens: int | None = None,
        temperature: float | None = None,
        progress: Any = None,
    ) -> None:
        self._endpoint, self._answers, self._tries, self._progress = endpoint, answers, tries, progress
        self._max_tokens, self._temperature = max_tokens, temperature

    async def work(self, worker: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
        """Have as many workers at it as the endpoint takes requests at once; each is given the client to ask with.

        Raises:
            EndpointError: the endpoint cannot be used, or a ceiling is reached. Requests under way are awaited, since
                they are paid for.
        """
        async with Client(self._endpoint, self._answers.spent, self._show) as client:
            workers = [asyncio.create_task(worker(client)) for _ in range(self._endpoint.concurrency)]
            try:
                done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
                # After an EndpointError the client refuses all that follows, so the others come to their ends too.
                if all(isinstance(one.exception(), EndpointError | None) for one in done):
                    await asyncio.wait(workers)
            finally:
                client.stop()
                for one in workers:
                    one.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        if "temperature" in client.dialect.refused:
            print(f"{self._endpoint.model} takes no temperature: it samples at its own.", file=sys.stderr)
        for one in workers:
            if not one.cancelled():
                one.result()

    async def all(self, questions: Sequence[Question]) -> list[Any]:
        """The answer, or an `Unanswered`, to each question, in order; counted on the bar.

        Raises:
            EndpointError: as `work`.
        """
        found: dict[int, Any] = {}
        waiting = iter(enumerate(questions))

        async def worker(client: Client) -> None:
            for number, question in waiting:
                found[number] = await self.ask(client, question)
                if self._progress is not None:
                    self._progress.update(1)

        await self.work(worker)
        return [found[number] for number in range(len(questions))]

    def _show(self, spent: Spent, cost: float) -> None:
        if self._answers.unnoted > self._endpoint.concurrency:  # some have failed: a kill shall not forget them
            self._answers.note()
        if self._progress is not None:
            self._progress.set_postfix_str(f"{spent.requests} requests, cost {cost:.4f}", refresh=False)

    async def ask(self, client: Client, question: Question) -> Any:
        """The usable answer to a question, from the disk or the model, or an `Unanswered` after the last try."""
        while (value := self._answers.get(question.id)) is None:
            unusable = self._answers.unusable(question.id)
            if len(unusable) >= self._tries:
                texts = tuple(answer.text for answer in unusable)
                return Unanswered(question.id, question.stage, unusable[-1].reason, texts)
            try:
                await self._try(client, question, len(unusable))
            except NoAnswerError as error:  # not kept as an answer: the same command asks again
                self._answers.note(error.input_tokens, error.output_tokens)
                return Unanswered(question.id, question.stage, str(error))
        return value

    async def _try(self, client: Client, question: Question, number: int) -> None:
        """Ask once, and keep what comes, usable or not."""
        # Another seed for another try, or a server that honours it would give the same unusable answer again.
        seed = int(digest_json([question.id, number])[:8], 16) >> 1
        reply = await client.complete(
            question.messages,
            length=self._max_tokens or question.length,
            schema=question.schema,
            temperature=self._temperature,
            seed=seed,
        )
        taken = {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
        where = (question.id, question.stage, question.index)
        try:
            answer = Answer(*where, question.read(read_answer(reply.text, question.schema)), **taken)
        except ValueError as error:
            reason = f"{error}{' (cut off at the longest answer)' if reply.cut_off else ''}"
            answer = Answer(*where, None, reason, reply.text[:500], **taken)
        self._answers.put(answer)
