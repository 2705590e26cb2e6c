"""An lm-eval model that has a server score what is rendered and tokenized here.

The numbers are those of `lapd eval` with the weights on this machine: the same text, the same tokens, the same split
into context and continuation. Only the forward pass is the server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import has_bos_prefix
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from lapd.endpoints.client import Client
from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.likelihoods import WAYS, Prompt, Scores
from lapd.endpoints.many import ask_all, reasons
from lapd.endpoints.tally import RunSpent
from lapd.errors import EndpointError, LapdError, NoAnswerError
from lapd.models.chat import fold_system_message
from lapd.packed.layout import make_rows
from lapd.record.journal import Journal

BEHIND = 2
"""A window has to have room for a last token, which is fed here and not where weights are at hand, and for the one
that every server writes behind it."""

WHOLE = 10**9
"""More tokens than any row has: nothing is computed here that would get too long."""


@dataclass(frozen=True)
class _Asked:
    """A prompt, how many of its last tokens are the continuation, and the requests that it is for."""

    prompt: tuple[int, ...]
    continuation: int
    requests: Sequence[int]


class ScoringLM(TemplateLM):
    """An lm-eval model that asks a completions endpoint what tokens are worth, and keeps each answer as it comes.

    Args:
        endpoint: where, and how much at once; its `model` is the base model's name there.
        tokenizer: the base model's own, from `lapd.models.loading.load_tokenizer`.
        window: tokens that a request may have, the answer's among them.
        spent: what was asked so far, with other models of the same server.

    Attributes:
        model: the name at the endpoint of what is asked now.
        way: how likelihoods are asked for, of `WAYS`; None until `find_way`.
        journal: where answers are kept; None keeps nothing.
        on_progress: called with the work just finished, in the unit of `work`.
        fold_system_prompt: whether a system prompt goes before the user's words.
        chat_template_args: what the chat template is told beside the messages.
        layout, batch_size: a journal holds single answers, however many are asked for at once.
        packs: nothing is packed here.
    """

    layout = "one answer each"
    batch_size = 1
    packs = False
    fold_system_prompt = False
    called = ""
    sampling: Any = None
    journal: Journal | None = None
    on_progress: Callable[[int], None] | None = None

    def __init__(self, endpoint: Endpoint, tokenizer: Any, window: int, spent: RunSpent) -> None:
        super().__init__()
        self.endpoint, self.tokenizer, self.spent = endpoint, tokenizer, spent
        self.model = endpoint.model
        self.max_length = window - BEHIND
        self.way: str | None = None
        self.chat_template_args: dict[str, Any] = {}

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval would tell cached requests apart by."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.prefix_token_id if self.tokenizer.eos_token_id is None else self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that has no context: the beginning of a text, else its end, else padding."""
        known = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        return int(next((token for token in known if token is not None), self.tokenizer.pad_token_id))

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids of a text; one that begins with the token that begins a text is not given it twice."""
        if add_special_tokens is None and has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        told = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        ids: list[int] = self.tokenizer.encode(string, **told)
        return ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The rendered conversation."""
        messages = fold_system_message(chat_history) if self.fold_system_prompt else chat_history
        text: str = self.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            **self.chat_template_args,
        )
        return text

    def work(self, requests: Sequence[Any]) -> int:
        """How much there is to do for lm-eval `Instance`s of one kind: tokens that are sent."""
        if requests and requests[0].request_type == "loglikelihood_rolling":
            return sum(len(self.tok_encode(request.args[0])) for request in requests)
        pairs = [self._encode_pair(*r.args) if r.args[0] else ([0], self.tok_encode(r.args[1])) for r in requests]
        return sum(len(asked.prompt) for asked in self._to_ask(pairs))

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Refused: a server writes in its chats.

        Raises:
            LapdError: always.
        """
        raise LapdError(f"{requests[0].task_name} is answered in writing, and does not say so.")

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood (nats) of each request's whole text, in order."""
        windows = [
            (number, make_disjoint_window(window))
            for number, request in enumerate(requests)
            for window in get_rolling_token_windows(
                self.tok_encode(request.args[0]), self.prefix_token_id, self.max_length, context_len=1
            )
        ]
        scored = self._loglikelihood_tokens([(None, *window) for _, window in windows], disable_tqdm)
        totals = [0.0] * len(requests)
        for (number, _), (logprob, _) in zip(windows, scored, strict=True):
            totals[number] += logprob
        return totals

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, Sequence[int], Sequence[int]]], disable_tqdm: bool = False, **_: Any
    ) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding gives it) of each continuation, in order.

        Raises:
            LapdError: a request got no answer.
            EndpointError: the endpoint cannot be used.
        """
        call = self.journal.next_call() if self.journal else 0
        asked = dict(enumerate(self._to_ask([request[1:] for request in requests])))
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        quiet = disable_tqdm or self.on_progress is not None

        def take(one: _Asked, logprob: float, likeliest: bool) -> None:
            for index in one.requests:
                results[index] = (logprob, likeliest)
            if self.on_progress:
                self.on_progress(len(one.prompt))

        left = {}
        for number, one in asked.items():
            if known := self.journal.get(call, number) if self.journal else None:
                take(one, *known)
            else:
                left[number] = one
        with tqdm(total=len(left), desc="Requesting likelihoods", disable=quiet) as bar:

            def keep(number: int, scores: Scores) -> None:
                behind = asked[number].continuation
                answer = sum(scores.logprobs[-behind:]), all(scores.likeliest[-behind:])
                if self.journal:
                    self.journal.put(call, number, answer)
                take(asked[number], *answer)
                bar.update()

            failed = self.score({number: one.prompt for number, one in left.items()}, keep) if left else {}
        if failed:
            hint = "What was answered is kept: the same command asks only for the rest."
            raise LapdError(f"{len(failed)} of {len(asked)} requests to {self.model} failed; {reasons(failed)}", hint)
        return results

    def _to_ask(self, pairs: Sequence[Any]) -> list[_Asked]:
        """What is asked, each thing once; prompts that begin alike one after the other, for the server's own cache."""
        rows = make_rows(pairs, self.max_length, WHOLE)
        asked = [
            _Asked(row.context + continuation, len(continuation), requests)
            for row in rows
            for continuation, requests in zip(row.continuations, row.requests, strict=True)
        ]
        return sorted(asked, key=lambda one: one.prompt)

    def find_way(self) -> None:
        """Find out how the server is to be asked.

        Raises:
            EndpointError: it gives no log-likelihoods, or has no such model.
        """
        told = ""
        for way in WAYS:
            failed = self.score({0: "One, two, three."}, lambda number, scores: None, way)
            if not failed:
                self.way = way
                return
            told = told or str(failed[0])
        where = f"{self.endpoint.base_url} gives no log-likelihoods of a prompt"
        hint = "It needs completions with prompt_logprobs (as vLLM has them), or with echo and logprobs."
        raise EndpointError(f"{where}: {told}", hint)

    def score(
        self, prompts: dict[int, Prompt], keep: Callable[[int, Scores], None], way: str | None = None
    ) -> dict[int, NoAnswerError]:
        """Have the current model score prompts, in order, and hand over each answer as it comes.

        Returns:
            Why some, by number, got no answer.

        Raises:
            EndpointError: the endpoint cannot be used.
        """
        return asyncio.run(self._score(prompts, keep, way or self.way or WAYS[0]))

    async def _score(self, prompts: dict[int, Prompt], keep: Any, way: str) -> dict[int, NoAnswerError]:
        async with Client(replace(self.endpoint, model=self.model), self.spent) as client:

            async def ask(number: int, prompt: Prompt) -> None:
                keep(number, await client.score(prompt, way))

            return await ask_all(client, {number: partial(ask, number, prompt) for number, prompt in prompts.items()})
