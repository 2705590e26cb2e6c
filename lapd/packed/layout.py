"""How log-likelihood requests are laid out so that no token is computed twice that need not be.

Requests that share a context become one row: the context once, then every continuation behind it, each of which
attends to the context and to itself; what continuations have in common at their start stands there once. Rows whose
contexts begin alike (a system prompt, a questionnaire's instructions) share that prefix too: it is computed once and
its keys and values are reused.

Pure lists of token ids; nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

LAYOUT = 5
"""The number of this way to lay out rows and batches: another one has other batches and, in the last bits, numbers."""

MIN_PREFIX = 8
"""A shared prefix of fewer tokens than this is not worth a cache of its own."""

MIN_CLUSTER = 8
"""Fewer rows than this are not cut off from their neighbours: small batches cost more than a shorter prefix."""

WORTH_PADDING, MIN_BATCH_TOKENS = 0.85, 512
"""A row shorter than this part of its batch's width begins a new batch, once the batch has so many tokens."""


@dataclass
class Row:
    """One context and the continuations to be scored after it.

    Attributes:
        context: token ids; never empty.
        continuations: distinct continuations' token ids; none is empty.
        requests: for each continuation, the indices of the requests that asked for it.
    """

    context: tuple[int, ...]
    continuations: list[tuple[int, ...]] = field(default_factory=list)
    requests: list[list[int]] = field(default_factory=list)

    @property
    def n_tokens(self) -> int:
        """Tokens to be computed: a continuation's last token predicts nothing that is asked for."""
        fed = sorted(c[:-1] for c in self.continuations)
        shared = sum(common_prefix(one, other) for one, other in pairwise(fed))
        return len(self.context) + sum(map(len, fed)) - shared


@dataclass
class Batch:
    """Rows that are computed together behind one shared prefix (which may be empty)."""

    prefix: tuple[int, ...]
    rows: list[Row]


def make_rows(requests: Sequence[tuple[Sequence[int], Sequence[int]]], max_length: int, max_row: int) -> list[Row]:
    """Group (context, continuation) requests by context.

    Args:
        requests: token ids of context and continuation.
        max_length: the model's window; a longer request loses tokens from its context's left, as in lm-eval.
        max_row: continuations of one context go on in another row beyond this many tokens, or beyond twice the
            context's where that is more: attention costs the square of a row, a new row the context once more.

    Raises:
        ValueError: a continuation is empty, or alone longer than the window.
    """
    rows: dict[tuple[int, ...], list[Row]] = {}
    for index, (context_ids, continuation_ids) in enumerate(requests):
        continuation = tuple(continuation_ids)
        if not continuation:
            raise ValueError("an empty continuation has no likelihood")
        if len(continuation) > max_length:
            raise ValueError(f"a continuation of {len(continuation)} tokens does not fit the model's {max_length}")
        # The last token of a request is predicted but never fed, hence one more than fits.
        context = (tuple(context_ids) + continuation)[-(max_length + 1) :][: -len(continuation)]
        same = rows.setdefault(context, [Row(context)])
        _place(same, index, continuation, max_row)
    return [row for same in rows.values() for row in same]


def _place(same: list[Row], index: int, continuation: tuple[int, ...], max_row: int) -> None:
    for row in same:
        if continuation in row.continuations:
            row.requests[row.continuations.index(continuation)].append(index)
            return
    row = same[-1]
    limit = max(max_row, 2 * len(row.context))
    if row.continuations and row.n_tokens - len(row.context) + len(continuation) - 1 > limit:
        row = Row(row.context)
        same.append(row)
    row.continuations.append(continuation)
    row.requests.append([index])


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    for n, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return n
    return min(len(first), len(second))


def make_batches(rows: Sequence[Row], max_rows: int, max_tokens: int, growth: int = 0) -> list[Batch]:
    """Cluster rows by shared prefix, then cut each cluster into batches of rows of like length.

    Args:
        rows: from `make_rows`.
        max_rows: rows in a batch. More are taken where the prefix leaves so little of each that all of them compute no
            more tokens than `max_rows` whole ones would, and their keys and values, the prefix's with each, are of no
            more than `max_tokens` tokens: a batch of small rows leaves the machine idle.
        max_tokens: tokens in a batch, padding included; a row that is longer goes alone.
        growth: tokens that will be written behind each row; they count, and since every one of them costs a step
            over all weights, batches are kept large, whatever the padding and the prefix.

    The result depends on the arguments alone, so that a killed run finds the same batches again.
    """
    batches: list[Batch] = []
    least = max(MIN_CLUSTER, max_rows) if growth else MIN_CLUSTER
    for prefix, members in _clusters(sorted(rows, key=lambda r: (r.context, r.continuations)), least):
        members = sorted(members, key=lambda r: -r.n_tokens)  # stable, so equal lengths keep their order
        current: list[Row] = []
        width = most = 0
        for row in members:
            length = row.n_tokens - len(prefix) + growth
            too_short = not growth and length < WORTH_PADDING * width and width * len(current) >= MIN_BATCH_TOKENS
            if current and (too_short or len(current) == most or width * (len(current) + 1) > max_tokens):
                batches.append(Batch(prefix, current))
                current = []
            if not current:
                width, most = length, max_rows if growth else _most_rows(len(prefix), length, max_rows, max_tokens)
            current.append(row)
        batches.append(Batch(prefix, current))
    return batches


def _most_rows(prefix: int, width: int, max_rows: int, max_tokens: int) -> int:
    """How many rows of so many tokens behind a prefix of so many make a batch."""
    whole = prefix + width
    return max(max_rows, min(max_rows * whole // width, max_tokens // whole))


def _clusters(rows: list[Row], least: int) -> list[tuple[tuple[int, ...], list[Row]]]:
    """Split lexicographically sorted rows into clusters, each with the prefix that its contexts share.

    Walks the trie of the contexts: a branch becomes a cluster of its own when it has `least` rows and shares enough
    more than its parent does; the rest stays together behind the parent's prefix. At least the last token of every
    context stays outside the prefix, since it predicts the continuation's first token.
    """
    if not rows:
        return []
    shortest = min(len(row.context) for row in rows) - 1
    shared = min(common_prefix(rows[0].context, rows[-1].context), shortest)
    clusters: list[tuple[tuple[int, ...], list[Row]]] = []
    rest: list[Row] = []
    for _, branch in groupby(rows, key=lambda row: row.context[shared : shared + 1]):
        members = list(branch)
        parts = _clusters(members, least) if least <= len(members) < len(rows) else [((), members)]
        for prefix, part in parts:
            if len(part) >= least and len(prefix) >= shared + MIN_PREFIX:
                clusters.append((prefix, part))
            else:
                rest += part
    if rest:
        worth_it = shared >= MIN_PREFIX and len(rest) > 1
        clusters.append((rest[0].context[:shared] if worth_it else (), rest))
    return clusters
