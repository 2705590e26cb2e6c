"""An lm-eval model that asks an OpenAI-compatible endpoint for what tasks that generate want written."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm

from lapd.answering.sampling import Sampling
from lapd.answering.written import Written
from lapd.endpoints.client import Client, Message
from lapd.endpoints.dialect import Dialect
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.many import ask_all, reasons
from lapd.endpoints.replies import Reply
from lapd.endpoints.tally import NAME, RunSpent
from lapd.errors import LapdError, NoAnswerError
from lapd.files.whole import digest_json
from lapd.models.chat import fold_system_message
from lapd.record.journal import Journal

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
        sampling: how answers are drawn, whatever a task's own settings say; None for as those say.
        layout, batch_size: a journal holds single answers, however many are asked for at once.
        packs: nothing is packed here.
        spent: what was asked; counted in a run folder from `count_into` on.
    """

    layout = "one answer each"
    batch_size = 1
    packs = False
    sampling: Sampling | None = None

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.model = endpoint.model
        self.journal: Journal | None = None
        self.on_progress: Any = None
        self.fold_system_prompt = False
        self.spent = RunSpent()
        self._dialects: dict[str, Dialect] = {}
        self._said: set[str] = set()

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
        raise LapdError(f"{requests[0].task_name} needs log-likelihoods, which chats do not give.", hint)

    loglikelihood_rolling = loglikelihood

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The answer to each request, in order.

        Raises:
            LapdError: a request has settings that no endpoint is sent, or got no answer at all.
            EndpointError: the endpoint cannot be used.
        """
        call = self.journal.next_call() if self.journal else 0
        questions = [self._question(number, request, call) for number, request in enumerate(requests)]
        texts = {q.number: known for q in questions if (known := self._known(call, q.number)) is not None}
        for number in texts:
            self._progressed(questions[number].length)
        left = [question for question in questions if question.number not in texts]
        quiet = disable_tqdm or self.on_progress is not None
        with tqdm(total=len(left), desc="Requesting answers", disable=quiet) as bar:

            def keep(question: Question, reply: Reply) -> None:
                if ends_unsaid(question, reply):
                    raise NoAnswerError("the answer is empty.")
                text = postprocess_generated_text(reply.text, list(question.until), None)
                # A server is not sent every stop text: what runs into one here was not cut off.
                ended = "stop" if text != reply.text else reply.finish_reason
                texts[question.number] = self._written(text, ended, reply.without)
                if self.journal:
                    self.journal.put(call, question.number, [text, ended, *reply.without])
                self._progressed(question.length)
                bar.update()

            failed = asyncio.run(self._ask_all(left, keep)) if left else {}
        if failed:
            hint = "What was answered is kept: the same command asks only for the rest."
            what = f"{len(failed)} of {len(requests)} requests to {self.model} got no answer; {reasons(failed)}"
            raise LapdError(what, hint)
        return [texts[number] for number in range(len(requests))]

    def drops(self, system_prompt: str) -> bool:
        """Whether the server's chat template has no place for a system prompt, or refuses one.

        Told by the server's own count of the prompt's tokens: it grows with the prompt before the user's words, but
        not with what is dropped. Where it grows with neither, since it counts nothing or only what is not in its
        cache, it cannot be told, and is taken not to. What each chat begins with is in no cache.

        Raises:
            LapdError: the server answers nothing.
        """
        once = [secrets.token_hex(4) for _ in range(3)]
        asked = [("", "?"), (system_prompt, "?"), ("", f"{system_prompt}\n?")]
        probes = [self._probe(n, f"{once[n]} {system}", f"{once[n]} {user}") for n, (system, user) in enumerate(asked)]
        tokens: dict[int, int] = {}
        failed = asyncio.run(self._ask_all(probes, lambda q, reply: tokens.update({q.number: reply.input_tokens})))
        # An answer without a word was counted all the same.
        tokens |= {number: error.input_tokens for number, error in failed.items() if error.input_tokens}
        if not tokens and self._answers_without_system():
            return True
        if len(tokens) < len(probes):
            raise LapdError(f"{self.model} did not answer: {next(iter(failed.values()))}")
        plain, with_system, with_user = (tokens[number] for number in range(3))
        return with_user > plain and with_system - plain < (with_user - plain) / 2

    def _answers_without_system(self) -> bool:
        """Whether the server answers a chat that has no system message."""
        failed = asyncio.run(self._ask_all([self._probe(0, "", "?")], lambda question, reply: None))
        return not failed or bool(failed[0].input_tokens)

    def _probe(self, number: int, system: str, user: str) -> Question:
        """A chat whose tokens the server is to count."""
        messages = [{"role": "system", "content": system}] if system else []
        return Question(number, [*messages, {"role": "user", "content": user}], (), PROBE_TOKENS, 0.0, None)

    def count_into(self, folder: Path) -> None:
        """Count requests, from now on, in a run folder, where those of earlier commands are counted."""
        self.spent.path = folder / NAME

    def _question(self, number: int, request: Any, call: int) -> Question:
        context, settings = request.args
        rest = _settings(settings)
        until, length = (rest.pop(name) for name in ("until", "max_gen_toks"))
        temperature, samples = rest.pop("temperature", 0.0), rest.pop("do_sample")
        if self.sampling:
            temperature, samples = self.sampling.temperature, True
        if rest:
            raise LapdError(f"{request.task_name}: an endpoint is not sent the setting {min(rest)}.")
        seed = int(digest_json([torch.initial_seed(), call, number])[:8], 16) if samples else None
        warmth = (temperature or None) if samples else 0.0
        return Question(number, json.loads(context), tuple(filter(None, until)), length, warmth, seed)

    def _known(self, call: int, number: int) -> Written | None:
        found = self.journal.get(call, number) if self.journal else None
        if not found:
            return None
        text, reason, *without = found if len(found) > 1 else [*found, ""]  # an older LAPD kept the text alone
        return self._written(text, reason, without)

    def _written(self, text: str, finish_reason: str, without: Sequence[str]) -> Written:
        if "temperature" in without and self.model not in self._said:
            self._said.add(self.model)
            print(f"{self.model} takes no temperature: its answers are sampled, not the likeliest.", file=sys.stderr)
        return Written(text, finish_reason, without)

    def _progressed(self, work: int) -> None:
        if self.on_progress is not None:
            self.on_progress(work)

    async def _ask_all(self, questions: Sequence[Question], keep: Any) -> dict[int, NoAnswerError]:
        """Ask everything, hand over each reply as it comes, and return why some questions, by number, got none."""
        dialect = self._dialects.setdefault(self.model, Dialect())
        async with Client(replace(self.endpoint, model=self.model), self.spent, dialect=dialect) as client:

            async def ask(question: Question) -> None:
                reply = await client.complete(
                    question.messages,
                    length=question.length,
                    temperature=question.temperature,
                    seed=question.seed,
                    stop=question.until,
                )
                keep(question, reply)

            return await ask_all(client, {question.number: partial(ask, question) for question in questions})


def ends_unsaid(question: Question, reply: Reply) -> bool:
    """Whether an empty answer is none: the server lost what was written, or does not say how much that was.

    A model that ends at once has written one token, or a stop text, which has no more tokens than bytes.
    """
    stop = max((len(text.encode()) for text in question.until), default=0)
    return not reply.text and reply.output_tokens > 1 + stop


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """lm-eval's settings of a generation under one name each; `until` is a list."""
    found = dict(normalize_gen_kwargs(settings))
    until = found.get("until") or []
    return found | {"until": [until] if isinstance(until, str) else list(until)}
