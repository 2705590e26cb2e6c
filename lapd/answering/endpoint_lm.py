"""An lm-eval model that asks an OpenAI-compatible endpoint for what tasks that generate want written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm

from lapd.endpoints.client import Client, Message, Reply, Spent
from lapd.endpoints.endpoint import Endpoint
from lapd.errors import LapdError, NoAnswerError
from lapd.evaluate.journal import Journal
from lapd.files.whole import digest_json
from lapd.models.chat import fold_system_message

PROBE_TOKENS = 16
"""So long is the answer by which the server's count of a prompt is learned; some servers refuse to write less."""


@dataclass(frozen=True)
class Question:
    """One request of a task.

    Attributes:
        number: its place among the requests.
        messages: the chat.
        until: where the answer is cut.
        length: at most so many tokens.
        temperature: 0 for the likeliest answer; None for the server's own.
        seed: of the sampling; None where nothing is sampled.
    """

    number: int
    messages: Sequence[Message]
    until: tuple[str, ...]
    length: int
    temperature: float | None
    seed: int | None


class EndpointLM(LM):
    """An lm-eval model that asks an endpoint, many requests at once, and keeps each answer as it comes.

    Args:
        endpoint: where, and how much at once; its `model` is the base model's name there.

    Attributes:
        model: the name at the endpoint of what is asked now.
        journal: where answers are kept; None keeps nothing.
        on_progress: called with the work just finished, in the unit of `work`.
        fold_system_prompt: whether a system prompt goes before the user's words.
        layout, batch_size: a journal holds single answers, however many are asked for at once.
        packs: nothing is packed here.
    """

    layout = "one answer each"
    batch_size = 1
    packs = False

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.model = endpoint.model
        self.journal: Journal | None = None
        self.on_progress: Any = None
        self.fold_system_prompt = False
        self._spent = Spent()

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval would tell cached requests apart by: the server's own chat template is not known here."""
        return f"{self.endpoint.base_url} {self.endpoint.model}"

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as JSON: the server renders them."""
        messages = fold_system_message(chat_history) if self.fold_system_prompt else chat_history
        return json.dumps(messages, ensure_ascii=False)

    def work(self, requests: Sequence[Any]) -> int:
        """How much there is to do: tokens that may be written."""
        return sum(_settings(request.args[1])["max_gen_toks"] for request in requests)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Refused.

        Raises:
            LapdError: always.
        """
        hint = "Evaluate it with the weights on this machine: without --model endpoint."
        raise LapdError(f"{requests[0].task_name} needs log-likelihoods, which an endpoint does not give.", hint)

    loglikelihood_rolling = loglikelihood

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The answer to each request, in order.

        Raises:
            LapdError: a request has settings that no endpoint is sent, or got no answer at all.
            EndpointError: the endpoint cannot be used.
        """
        call = self.journal.next_call() if self.journal else 0
        questions = [self._question(number, request, call) for number, request in enumerate(requests)]
        texts = {q.number: text for q in questions if (text := self._known(call, q.number)) is not None}
        for number in texts:
            self._progressed(questions[number].length)
        left = [question for question in questions if question.number not in texts]
        quiet = disable_tqdm or self.on_progress is not None
        with tqdm(total=len(left), desc="Requesting answers", disable=quiet) as bar:

            def keep(question: Question, reply: Reply) -> None:
                text = postprocess_generated_text(reply.text, list(question.until), None)
                texts[question.number] = text
                if self.journal:
                    self.journal.put(call, question.number, [text])
                self._progressed(question.length)
                bar.update()

            failed = asyncio.run(self._ask_all(left, keep)) if left else []
        if failed:
            hint = "What was answered is kept: the same command asks only for the rest."
            what = f"{len(failed)} of {len(requests)} requests to {self.model} got no answer; the first: {failed[0]}"
            raise LapdError(what, hint)
        return [texts[number] for number in range(len(requests))]

    def drops(self, system_prompt: str) -> bool:
        """Whether the server's chat template has no place for a system prompt.

        Told by the server's own count of the prompt's tokens: it does not grow with what is dropped. A server that
        counts nothing cannot be told.
        """
        user = {"role": "user", "content": "?"}
        chats = [[{"role": "system", "content": text}, user] for text in ("x", system_prompt)]
        probes = [Question(n, chat, (), PROBE_TOKENS, 0.0, None) for n, chat in enumerate(chats)]
        tokens: dict[int, int] = {}
        failed = asyncio.run(self._ask_all(probes, lambda q, reply: tokens.update({q.number: reply.input_tokens})))
        if failed:
            raise LapdError(f"{self.model} did not answer: {failed[0]}")
        return tokens[1] <= tokens[0]

    def _question(self, number: int, request: Any, call: int) -> Question:
        context, settings = request.args
        rest = _settings(settings)
        until, length = (rest.pop(name) for name in ("until", "max_gen_toks"))
        temperature, samples = rest.pop("temperature", 0.0), rest.pop("do_sample")
        if rest:
            raise LapdError(f"{request.task_name}: an endpoint is not sent the setting {min(rest)}.")
        seed = int(digest_json([torch.initial_seed(), call, number])[:8], 16) if samples else None
        warmth = (temperature or None) if samples else 0.0
        return Question(number, json.loads(context), tuple(filter(None, until)), length, warmth, seed)

    def _known(self, call: int, number: int) -> str | None:
        found = self.journal.get(call, number) if self.journal else None
        return str(found[0]) if found else None

    def _progressed(self, work: int) -> None:
        if self.on_progress is not None:
            self.on_progress(work)

    async def _ask_all(self, questions: Sequence[Question], keep: Any) -> list[str]:
        """Ask everything, hand over each reply as it comes, and return why some questions got none."""
        failed: list[str] = []
        async with Client(replace(self.endpoint, model=self.model), self._spent) as client:

            async def ask(question: Question) -> None:
                try:
                    reply = await client.complete(
                        question.messages,
                        length=question.length,
                        temperature=question.temperature,
                        seed=question.seed,
                        stop=question.until,
                    )
                except NoAnswerError as error:
                    failed.append(str(error))
                else:
                    keep(question, reply)

            tasks = [asyncio.ensure_future(ask(question)) for question in questions]
            try:
                for task in tasks:
                    await task
            finally:
                client.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return failed


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's settings of a generation under one name each; `until` is a list."""
    found = dict(normalize_gen_kwargs(settings))
    until = found.get("until") or []
    return found | {"until": [until] if isinstance(until, str) else list(until)}
