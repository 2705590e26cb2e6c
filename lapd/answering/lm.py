"""An lm-eval model that scores packed rows behind shared prefixes, and keeps what it has finished.

`PackedLM` is lm-eval's `hf` model with another way to the same numbers; `lapd.packed.layout` has the layout. Where an
architecture does not take it (found by trying), requests are answered as `hf` does. A stock `lm_eval` knows it as
`--model lapd` (see `lapd.answering.stock`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm

from lapd.adapters.naming import refuse_strength
from lapd.answering.generation import decode, decodes_plainly, end_tokens
from lapd.answering.hf import CarefulHF
from lapd.answering.numbers import check_likelihoods
from lapd.answering.sampling import Sampling, draw, random_numbers
from lapd.answering.written import Written
from lapd.files.whole import digest_json
from lapd.models.chat import fold_system_message
from lapd.models.embedded import EMBEDDED, embedded_folder
from lapd.packed.forward import (
    SharedPrefix,
    causal_of,
    pack,
    takes_packed_rows,
    token_logprobs,
)
from lapd.packed.layout import LAYOUT, Batch, Row, make_batches, make_rows
from lapd.packed.regimes import reach, within_reach
from lapd.reasoning import opened_by
from lapd.record.journal import Journal

MAX_ROW_TOKENS = 256
BATCH_TOKENS = 4096

WRITE_ROWS, WRITE_TOKENS = 4, 16384
"""Answers are written for so many times the batch size at once, while they and their prompts have so many tokens.

A step reads all the weights for one token a row: on 2 cores, 64 rows took hardly longer than 16.
"""

AUTO_ROWS = 64
"""Rows in a batch for `--batch_size auto`; `BATCH_TOKENS` keeps them small enough, so nothing has to be tried out."""

REMEMBERED = 8192
"""So many tokenized requests are kept: every arm asks for the same ones again, and it takes a tenth of the time."""

DECODE_COST = 8
"""A generated token counts as so many scored ones in the progress; measured on 2 cores, batches of 8."""


@dataclass(frozen=True)
class Writing:
    """How an answer is written: until one of `stops` or so many tokens; greedily, or drawn as `sampling` says."""

    stops: tuple[str, ...]
    limit: int
    sampling: Sampling | None = None


@register_model("lapd")
class PackedLM(CarefulHF):
    """lm-eval's `hf` model with packed scoring, shrinking batches of answers, and a journal.

    Args:
        pretrained: a loaded causal language model, `smollm2`, or whatever `HFLM` takes.
        dtype: of the weights. Not "auto" as in `HFLM`: bfloat16 hides much of what a small adapter learned.
        batch_size: rows (contexts) computed at once; "auto" lets their tokens decide.
        kwargs: passed to `HFLM`.

    Attributes:
        packs: whether the model takes packed rows.
        layout: the number of the way in which batches are made; a journal of another layout has other batches.
        journal: where finished batches are kept; None keeps nothing.
        on_progress: called with the work just finished, in the unit of `work`; without it, lm-eval's bars are shown.
        fold_system_prompt: whether a system prompt goes before the user's words, for templates without a place for it.
        called: what errors call the model.
        sampling: how answers are drawn, whatever a task's own settings say; None for as those say.
    """

    sampling: Sampling | None = None

    def __init__(
        self, pretrained: Any, dtype: str | torch.dtype | None = "float32", batch_size: int | str = 1, **kwargs: Any
    ) -> None:
        if isinstance(pretrained, str) and pretrained.lower() == EMBEDDED:
            pretrained = str(embedded_folder())
        refuse_strength(str(kwargs.get("peft") or ""))
        super().__init__(pretrained=pretrained, dtype=dtype, batch_size=batch_size, **kwargs)
        self.journal: Journal | None = None
        self.on_progress: Callable[[int], None] | None = None
        self.fold_system_prompt, self.called = False, "The model"
        self._encoded: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
        plain = self.backend == "causal" and self.mixed_precision_dtype is None
        self.packs = plain and takes_packed_rows(self.model)
        self._said = self._said_hf = False
        if not self.packs:
            what = type(causal_of(self.model)).__name__
            print(f"{what} does not take packed rows: scoring one continuation at a time.", file=sys.stderr)
        elif self.batch_size == "auto":
            self.batch_size_per_gpu = AUTO_ROWS

    @property
    def layout(self) -> int:
        """See the class; 0 where rows are not packed, since batches are then made by requests."""
        return LAYOUT if self.packs else 0

    def use(self, model: Any, packs: bool) -> None:
        """Answer with another state of the model from now on.

        Args:
            model: the model, perhaps in another wrapper of PEFT's.
            packs: whether it takes packed rows so.
        """
        self.use_model(model)
        self.packs = packs

    def work(self, requests: Sequence[Any]) -> int:
        """How much there is to do for lm-eval `Instance`s of one kind: tokens that the model will compute."""
        kind = requests[0].request_type if requests else None
        if kind == "generate_until":
            return sum(map(self._generation_work, requests))
        if kind == "loglikelihood_rolling":
            return sum(len(self.tok_encode(r.args[0])) for r in requests)
        pairs = [self._encode_pair(*r.args) if r.args[0] else ([0], self.tok_encode(r.args[1])) for r in requests]
        batches = self._packed_batches(pairs)
        if batches is None:
            return sum(len(context) + len(continuation) for context, continuation in pairs)
        return sum(map(_batch_work, batches))

    def _generation_work(self, request: Any) -> int:
        context, settings = request.args
        return len(self.tok_encode(context)) + DECODE_COST * int(settings.get("max_gen_toks", self.max_gen_toks))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The rendered conversation."""
        messages = fold_system_message(chat_history) if self.fold_system_prompt else chat_history
        return super().apply_chat_template(messages, add_generation_prompt)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding gives it) of each request, in order."""
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm or self.on_progress is not None)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood (nats) of each request's whole text, in order."""
        return super().loglikelihood_rolling(requests, disable_tqdm=disable_tqdm or self.on_progress is not None)

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of context and continuation."""
        if (context, continuation) not in self._encoded:
            if len(self._encoded) >= REMEMBERED:
                self._encoded.clear()
            self._encoded[context, continuation] = super()._encode_pair(context, continuation)
        return self._encoded[context, continuation]

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str] | None, list[int], list[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding gives it) of each continuation, in order."""
        quiet = disable_tqdm or self.on_progress is not None
        batches = self._packed_batches([r[1:] for r in requests])
        if batches is not None:
            return self._score_packed(requests, batches, quiet)
        answer = super()._loglikelihood_tokens
        with self.alone_where_padding_shows(max((len(r[1]) + len(r[2]) for r in requests), default=0)):
            if self.journal is None:
                return answer(requests, disable_tqdm=quiet, override_bs=override_bs)
            return self._answer_in_batches(
                requests, lambda part: answer(part, disable_tqdm=True), lambda r: len(r[1]) + len(r[2])
            )

    def _score_packed(
        self,
        requests: Sequence[tuple[tuple[str, str] | None, list[int], list[int]]],
        batches: Sequence[Batch],
        quiet: bool,
    ) -> list[tuple[float, bool]]:
        results: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        prefix = SharedPrefix(causal_of(self.model))
        scores = self._journaled(batches, lambda batch: self._score_batch(batch, prefix))
        with self._bar(len(requests), "Running loglikelihood requests", quiet) as bar:
            for batch, scored in zip(batches, scores, strict=True):
                wanted = [indices for row in batch.rows for indices in row.requests]
                for indices, (loglikelihood, greedy) in zip(wanted, scored, strict=True):
                    for index in indices:
                        results[index] = (loglikelihood, bool(greedy))
                        if (key := requests[index][0]) is not None:  # None: a window of `loglikelihood_rolling`
                            self.cache_hook.add_partial("loglikelihood", key, results[index])
                    bar.update(len(indices))
                self._progressed(_batch_work(batch))
        return results

    def _packed_batches(self, requests: Sequence[Any]) -> list[Batch] | None:
        """The batches of (context, continuation) requests; None where they cannot be packed."""
        if not self.packs:
            return None
        batches = self._batches(requests)
        return batches if self._within_reach([row for batch in batches for row in batch.rows]) else None

    def _within_reach(self, rows: Sequence[Row], growth: int = 0) -> bool:
        """Whether no row, with so many tokens written behind it, is longer than the model computes alike."""
        causal = causal_of(self.model)
        config = causal.config.get_text_config()
        if within_reach(config, rows, growth):
            return True
        if not self._said:
            what = f"{type(causal).__name__} computes rows of more than {reach(config)} tokens otherwise"
            print(f"{what}: not packing where there are some.", file=sys.stderr)
            self._said = True
        return False

    def _batches(self, requests: Sequence[Any]) -> list[Batch]:
        rows = make_rows(requests, self.max_length, MAX_ROW_TOKENS)
        return make_batches(rows, max(1, int(self.batch_size)), BATCH_TOKENS)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _score_batch(self, batch: Batch, prefix: SharedPrefix) -> list[tuple[float, bool]]:
        """(log-likelihood, greedy) of every continuation of every row, in order."""
        causal = causal_of(self.model)
        packed = pack(batch.rows, self.device, causal.dtype, skip=len(batch.prefix))
        logprobs, greedy = token_logprobs(causal, packed, prefix.cache(batch.prefix, len(batch.rows)))
        parts = zip(logprobs.double().split(packed.lengths), greedy.split(packed.lengths), strict=True)
        return [(float(logprob.sum()), bool(likeliest.all())) for logprob, likeliest in parts]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The generated text of each request, in order: greedy and sampled ones by `decode`, others as `hf` does.

        A block of reasoning that the chat template has opened begins the text with its mark: without it, one that never
        closes would pass for an answer.
        """
        self.check_end()
        quiet = disable_tqdm or self.on_progress is not None
        ways = [self._writing(request.args[1]) for request in requests]
        texts: dict[int, str] = {}
        for way in dict.fromkeys(ways):
            members = [i for i, other in enumerate(ways) if other == way]
            some = [requests[i] for i in members]
            found = self._generate_as_hf(some, quiet) if way is None else self._write(some, way, quiet)
            texts |= zip(members, found, strict=True)
        if self.think_end_token is not None:  # lm-eval has taken the reasoning off
            return [texts[i] for i in range(len(requests))]
        return [_behind(opened_by(request.args[0]), texts[i]) for i, request in enumerate(requests)]

    def _writing(self, settings: dict[str, Any]) -> Writing | None:
        """How lm-eval's settings say that an answer is to be written; None where that takes more than greed."""
        plain = self.packs and decodes_plainly(causal_of(self.model))
        if not plain or self.think_end_token is not None or self.truncation:
            return None
        rest = dict(normalize_gen_kwargs(settings, self.max_gen_toks))
        eos = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        stops, limit = handle_stop_sequences(rest.pop("until"), eos=eos), rest.pop("max_gen_toks")
        for name in ("temperature", *(("top_p", "top_k") if self.sampling else ())):
            rest.pop(name, None)
        greedy = rest == {"do_sample": False} or (self.sampling and rest.keys() == {"do_sample"})
        return Writing(tuple(stops), limit, self.sampling) if greedy and 0 < limit < self.max_length else None

    def _write(self, requests: list[Any], way: Writing, quiet: bool) -> list[str]:
        rows = self._rows_to_write(requests, way)
        if not self._within_reach(rows, way.limit):
            return self._generate_as_hf(requests, quiet)
        batches = make_batches(rows, WRITE_ROWS * max(1, int(self.batch_size)), WRITE_TOKENS, growth=way.limit)
        prefix = SharedPrefix(causal_of(self.model))
        seeds = way.sampling.seeds(requests) if way.sampling else []
        answers = self._journaled(batches, lambda batch: self._write_batch(batch, way, prefix, seeds))
        texts = [""] * len(requests)
        with self._bar(len(requests), "Running generate_until requests", quiet) as bar:
            for batch, written in zip(batches, answers, strict=True):
                for row, answer in zip(batch.rows, written, strict=True):
                    text = Written(answer) if isinstance(answer, str) else Written(*answer)  # a text in older journals
                    for index in row.requests[0]:
                        texts[index] = text
                        if way.sampling is None:
                            self.cache_hook.add_partial("generate_until", requests[index].args, str(text))
                        self._progressed(self._generation_work(requests[index]))
                    bar.update(len(row.requests[0]))
        return texts

    def _rows_to_write(self, requests: list[Any], way: Writing) -> list[Row]:
        """A row for each prompt, or for each answer that is drawn to one, with the requests that it is for."""
        asked: dict[Any, Row] = {}
        for index, request in enumerate(requests):
            ids = self.tok_batch_encode([request.args[0]])[0][0].tolist()
            context = tuple(ids[-(self.max_length - way.limit) :]) or (self.prefix_token_id,)
            row = asked.setdefault(index if way.sampling else context, Row(context, [], [[]]))
            row.requests[0].append(index)
        return list(asked.values())

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _write_batch(
        self, batch: Batch, way: Writing, prefix: SharedPrefix, seeds: Sequence[int]
    ) -> list[tuple[str, str]]:
        """The text of every row's answer, in order, and why it ended: "stop", or "length" where it was cut off."""
        causal = causal_of(self.model)
        ends = end_tokens(causal, self.eot_token_id)
        # A stop may come in other tokens than the tokenizer's own for it: look back a little further.
        tail = 2 + max(len(self.tok_encode(stop, add_special_tokens=False)) for stop in way.stops)

        def is_finished(written: list[int]) -> bool:
            if written[-1] in ends:
                return True
            text = self.tok_decode(written[-tail:], skip_special_tokens=False)
            return any(stop in text for stop in way.stops if stop)

        contexts = [row.context for row in batch.rows]
        cache, choose = prefix.cache(batch.prefix, len(contexts)), None
        if sampling := way.sampling:
            numbers = random_numbers([seeds[row.requests[0][0]] for row in batch.rows], way.limit)

            def choose(logits: torch.Tensor, rows: list[int], step: int) -> torch.Tensor:
                return draw(logits, numbers[rows, step], sampling)

        answers = decode(causal, contexts, way.limit, is_finished, cache, len(batch.prefix), self.called, choose)
        texts = [postprocess_generated_text(self.tok_decode(answer), list(way.stops), None) for answer in answers]
        return [
            (text, "stop" if is_finished(answer) else "length") for text, answer in zip(texts, answers, strict=True)
        ]

    def _generate_as_hf(self, requests: list[Any], quiet: bool) -> list[str]:
        answer = super().generate_until
        if self.sampling:
            requests = [self._to_be_drawn(request, self.sampling) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].args[0]), requests[i].args[0]))
        longest = max(len(self.tok_encode(r.args[0])) + int(r.args[1].get("max_gen_toks", 256)) for r in requests)
        with self.alone_where_padding_shows(longest):
            if self.journal is None:
                return answer(requests, disable_tqdm=quiet)
            texts = self._answer_in_batches(
                [requests[i] for i in order], lambda part: answer(part, disable_tqdm=True), self._generation_work
            )
        by_index = dict(zip(order, texts, strict=True))
        return [by_index[i] for i in range(len(requests))]

    def _to_be_drawn(self, request: Any, sampling: Sampling) -> Any:
        """The request with settings by which `hf` draws its answer."""
        if not self._said_hf:
            print(f"{self.called} is sampled as hf does: an answer depends on its batch.", file=sys.stderr)
            self._said_hf = True
        context, settings = request.args
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        return replace(request, arguments=(context, {**settings, **drawn}))

    def logprobs_a_token(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, float] | None]:
        """Of each (context, continuation): the continuation's tokens, and its log-likelihood (nats) by each of them.

        None for one that is longer than the model's window. Where the one ends is where the prompt ended: unlike
        lm-eval, which lets a continuation have the blanks that end its context.
        """
        encoded = []
        for context, continuation in pairs:
            before = self.tok_encode(context)
            encoded.append((before or [self.prefix_token_id], self.tok_encode(context + continuation)[len(before) :]))
        fits = [n for n, (_, continuation) in enumerate(encoded) if 0 < len(continuation) <= self.max_length]
        scored = self._loglikelihood_tokens([(None, *encoded[n]) for n in fits], disable_tqdm=True)
        lengths = [len(encoded[n][1]) for n in fits]
        found = {n: (k, total / k) for n, k, (total, _) in zip(fits, lengths, scored, strict=True)}
        return [found.get(n) for n in range(len(pairs))]

    def _answer_in_batches(
        self, requests: list[Any], answer: Callable[[list[Any]], list[Any]], work: Callable[[Any], int]
    ) -> list[Any]:
        size = max(1, int(self.batch_size))
        parts = [requests[start : start + size] for start in range(0, len(requests), size)]
        results = []
        for part, answers in zip(parts, self._journaled(parts, answer), strict=True):
            results += answers
            self._progressed(sum(map(work, part)))
        return results

    def _journaled(self, batches: Sequence[Any], answer: Callable[[Any], list[Any]]) -> Iterator[list[Any]]:
        """Each batch's answers: from the journal where they are in it, else computed and kept there.

        What is random in an answer depends on its batch alone, or a run that went on would end in other answers.
        """
        if self.journal is None:
            yield from map(answer, batches)
            return
        call, seed = self.journal.next_call(), torch.initial_seed()
        for number, batch in enumerate(batches):
            answers = self.journal.get(call, number)
            if answers is None:
                with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
                    torch.manual_seed(int(digest_json([seed, call, number])[:8], 16))
                    answers = answer(batch)
                check_likelihoods(answers, self.called, causal_of(self.model).dtype)
                self.journal.put(call, number, answers)
            yield answers

    def _bar(self, total: int, what: str, quiet: bool) -> Any:
        return tqdm(total=total, desc=what, disable=quiet or self.rank != 0)

    def _progressed(self, work: int) -> None:
        if self.on_progress is not None:
            self.on_progress(work)


def _behind(mark: str, text: str) -> str:
    """A text behind the mark that its prompt has opened, with what is known of it."""
    return Written(mark + text, getattr(text, "finish_reason", "")) if mark else text


def _batch_work(batch: Batch) -> int:
    return sum(row.n_tokens - len(batch.prefix) for row in batch.rows)
