"""The writing half of LAPD's lm-eval model: answers in batches, kept in a journal as they finish."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from tqdm import tqdm

from lapd.answering.generation import decode, decodes_plainly, end_tokens
from lapd.answering.hf import CarefulHF
from lapd.answering.numbers import check_likelihoods
from lapd.answering.sampling import Sampling, draw, random_numbers
from lapd.answering.written import Written
from lapd.files.whole import digest_json
from lapd.packed.blocked import blocked_weights
from lapd.packed.forward import SharedPrefix, causal_of, takes_long_rows
from lapd.packed.layout import Batch, Row, make_batches
from lapd.packed.regimes import reach, within_reach
from lapd.reasoning import opened_by
from lapd.record.journal import Journal

WRITE_ROWS, WRITE_TOKENS = 4, 16384
"""Answers are written for so many times the batch size at once, while they and their prompts have so many tokens.

A step reads all the weights for one token a row: on 2 cores, 64 rows took hardly longer than 16.
"""

WAITING = 4
"""A batch has so many times the prompts that are answered at once: who waits takes the place of who has ended."""

DECODE_COST = 8
"""A generated token counts as so many scored ones in the progress; measured on 2 cores, batches of 8."""


@dataclass(frozen=True)
class Writing:
    """How an answer is written: until one of `stops` or so many tokens; greedily, or drawn as `sampling` says."""

    stops: tuple[str, ...]
    limit: int
    sampling: Sampling | None = None


class WritingLM(CarefulHF):
    """lm-eval's `hf` model that writes by `lapd.answering.generation`, and keeps finished batches.

    Attributes:
        packs: whether the model takes packed rows; the others are answered as `hf` does.
        journal: where finished batches are kept; None keeps nothing.
        on_progress: called with the work just finished, in tokens; without it, lm-eval's bars are shown.
        called: what errors call the model.
        sampling: how answers are drawn, whatever a task's own settings say; None for as those say.
    """

    packs = False
    journal: Journal | None = None
    on_progress: Callable[[int], None] | None = None
    called = "The model"
    sampling: Sampling | None = None
    _said = _said_hf = False
    _takes_long_rows: bool | None = None

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
        batches = make_batches(rows, WAITING * self._most_written, WAITING * WRITE_TOKENS, growth=way.limit)
        prefix = SharedPrefix(causal_of(self.model))
        seeds = way.sampling.seeds(requests) if way.sampling else []
        texts = [""] * len(requests)
        told: set[int] = set()
        with self._bar(len(requests), "Running generate_until requests", quiet) as bar:

            def tell(row: Row) -> None:
                """Count what a row was for, once: as it ends, or when the journal has it."""
                new = set(row.requests[0]) - told
                told.update(new)
                bar.update(len(new))
                self._progressed(sum(self._generation_work(requests[index]) for index in new))

            answers = self._journaled(batches, lambda batch: self._write_batch(batch, way, prefix, seeds, tell))
            for batch, written in zip(batches, answers, strict=True):
                for row, answer in zip(batch.rows, written, strict=True):
                    text = Written(answer) if isinstance(answer, str) else Written(*answer)  # a text in older journals
                    for index in row.requests[0]:
                        texts[index] = text
                        if way.sampling is None:
                            self.cache_hook.add_partial("generate_until", requests[index].args, str(text))
                    tell(row)
        return texts

    @property
    def _most_written(self) -> int:
        """Answers that are written beside each other."""
        return WRITE_ROWS * max(1, int(self.batch_size))

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
        self, batch: Batch, way: Writing, prefix: SharedPrefix, seeds: Sequence[int], tell: Callable[[Row], None]
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
        fit = WRITE_TOKENS // (max(map(len, contexts)) + way.limit)
        choose = None
        if sampling := way.sampling:
            numbers = random_numbers([seeds[row.requests[0][0]] for row in batch.rows], way.limit)

            def choose(logits: torch.Tensor, rows: list[int], steps: list[int]) -> torch.Tensor:
                return draw(logits, numbers[rows, steps], sampling)

        with blocked_weights(causal):
            answers = decode(
                causal,
                contexts,
                way.limit,
                is_finished,
                places=max(1, min(fit, self._most_written)),
                skip=len(batch.prefix),
                prefix=lambda rows: prefix.cache(batch.prefix, rows),
                called=self.called,
                choose=choose,
                on_finished=lambda row: tell(batch.rows[row]),
            )
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

    def _generation_work(self, request: Any) -> int:
        context, settings = request.args
        return len(self.tok_encode(context)) + DECODE_COST * int(settings.get("max_gen_toks", self.max_gen_toks))

    def _within_reach(self, rows: Sequence[Row], growth: int = 0) -> bool:
        """Whether no row, with so many tokens written behind it, is longer than the model computes alike."""
        causal = causal_of(self.model)
        config = causal.config.get_text_config()
        if within_reach(config, rows, growth):
            return True
        if within_reach(config, rows, growth, windows=False):
            if self._takes_long_rows is None:
                self._takes_long_rows = takes_long_rows(self.model)
            if self._takes_long_rows:
                return True
        if not self._said:
            what = f"{type(causal).__name__} computes rows of more than {reach(config)} tokens otherwise"
            print(f"{what}: not packing where there are some.", file=sys.stderr)
            self._said = True
        return False

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
