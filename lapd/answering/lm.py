"""An lm-eval model that scores packed rows behind shared prefixes, and keeps what it has finished.

`PackedLM` is lm-eval's `hf` model with another way to the same numbers; `lapd.packed.layout` has the layout. Where an
architecture does not take it (found by trying), requests are answered as `hf` does. A stock `lm_eval` knows it as
`--model lapd` (see `lapd.answering.stock`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.registry import register_model

from lapd.adapters.naming import refuse_steering, refuse_strength
from lapd.answering.writing import WritingLM
from lapd.errors import ModelError
from lapd.models.chat import fold_system_message
from lapd.models.embedded import EMBEDDED, embedded_folder
from lapd.packed.forward import (
    SharedPrefix,
    causal_of,
    pack,
    takes_packed_rows,
    token_logprobs,
)
from lapd.packed.layout import LAYOUT, Batch, make_batches, make_rows
from lapd.packed.regimes import reach

MAX_ROW_TOKENS = 256
BATCH_TOKENS = 4096

AUTO_ROWS = 64
"""Rows in a batch for `--batch_size auto`; `BATCH_TOKENS` keeps them small enough, so nothing has to be tried out."""

REMEMBERED = 8192
"""So many tokenized requests are kept: every arm asks for the same ones again, and it takes a tenth of the time."""


@register_model("lapd")
class PackedLM(WritingLM):
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

    def __init__(
        self, pretrained: Any, dtype: str | torch.dtype | None = "float32", batch_size: int | str = 1, **kwargs: Any
    ) -> None:
        if isinstance(pretrained, str) and pretrained.lower() == EMBEDDED:
            pretrained = str(embedded_folder())
        refuse_steering(peft := str(kwargs.get("peft") or ""))
        refuse_strength(peft)
        super().__init__(pretrained=pretrained, dtype=dtype, batch_size=batch_size, **kwargs)
        self.fold_system_prompt = False
        self._encoded: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
        plain = self.backend == "causal" and self.mixed_precision_dtype is None
        self.packs = plain and takes_packed_rows(self.model)
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

    def _batches(self, requests: Sequence[Any]) -> list[Batch]:
        rows = make_rows(requests, self.max_length, MAX_ROW_TOKENS)
        limit = reach(causal_of(self.model).config.get_text_config())
        return make_batches(rows, max(1, int(self.batch_size)), BATCH_TOKENS, reach=limit)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _score_batch(self, batch: Batch, prefix: SharedPrefix) -> list[tuple[float, bool]]:
        """(log-likelihood, greedy) of every continuation of every row, in order."""
        causal = causal_of(self.model)
        config = causal.config.get_text_config()
        packed = pack(batch.rows, self.device, causal.dtype, len(batch.prefix), config)
        logprobs, greedy = token_logprobs(causal, packed, prefix.cache(batch.prefix, len(batch.rows)))
        parts = zip(logprobs.cpu().double().split(packed.lengths), greedy.split(packed.lengths), strict=True)
        return [(float(logprob.sum()), bool(likeliest.all())) for logprob, likeliest in parts]

    def logprobs_a_token(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[int, float] | None]:
        """Of each (context, continuation): the continuation's tokens, and its log-likelihood (nats) by each of them.

        None for one that is longer than the model's window, or has a token that the model does not know.
        """
        encoded = [self._encode_behind(*pair) for pair in pairs]
        fits = [n for n, (_, continuation) in enumerate(encoded) if 0 < len(continuation) <= self.max_length]
        scored = self._loglikelihood_tokens([(None, *encoded[n]) for n in fits], disable_tqdm=True)
        lengths = [len(encoded[n][1]) for n in fits]
        found = {n: (k, total / k) for n, k, (total, _) in zip(fits, lengths, scored, strict=True)}
        return [found.get(n) for n in range(len(pairs))]

    def _encode_behind(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Token ids of context and continuation: none of one with a token that the model does not know.

        The continuation begins where the prompt ended: unlike lm-eval's, it has no blanks that end the context.
        """
        try:
            before, both = self.tok_encode(context), self.tok_encode(context + continuation)
        except ModelError:
            return [], []
        return before or [self.prefix_token_id], both[len(before) :]


def _batch_work(batch: Batch) -> int:
    return sum(row.n_tokens - len(batch.prefix) for row in batch.rows)
