"""How log-likelihood requests are laid out so that no token is computed twice that need not be.

Requests that share a context become one row: the context once, then every continuation behind it, each of which
attends to the context and to itself; what continuations have in common at their start stands there once. Rows whose
contexts begin alike (a system prompt, a questionnaire's instructions) share that prefix too: it is computed once and
its keys and values are reused. Where little is left of a context behind it, several become branches of one row, which
has what they share once more, and fills its batch.

Pure lists of token ids; nothing here knows a model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise, zip_longest

LAYOUT = 6
"""The number of this way to lay out rows and batches: another one has other batches and, in the last bits, numbers."""

MIN_PREFIX = 8
"""A shared prefix of fewer tokens than this is not worth a cache of its own."""

MIN_CLUSTER = 8
"""Fewer rows than this are not cut off from their neighbours: small batches cost more than a shorter prefix."""

WORTH_PADDING, MIN_BATCH_TOKENS = 0.85, 512
"""A row shorter than this part of its batch's width begins a new batch, once the batch has so many tokens."""

BRANCHED = (64, 80, 96, 128)
"""Contexts become branches of one row that has so many tokens behind the prefix at most: whichever computes least."""

WIDE = 1850
"""A token's linear layers cost what holding it against so many others costs (the embedded model, on a processor)."""


@dataclass
class Row:
    """One context and the continuations to be scored after it; or what several contexts share, and the rest of each.

    Attributes:
        context: token ids; only empty where several contexts share nothing.
        continuations: continuations' token ids; none is empty.
        requests: for each continuation, the indices of the requests that asked for it.
        given: for each continuation, how many of its first tokens are the rest of its context; none of any if empty.
    """

    context: tuple[int, ...]
    continuations: list[tuple[int, ...]] = field(default_factory=list)
    requests: list[list[int]] = field(default_factory=list)
    given: list[int] = field(default_factory=list)

    def branches(self) -> Iterator[tuple[tuple[int, ...], int]]:
        """Each continuation, and how many of its first tokens are given; the others are to be predicted."""
        return zip_longest(self.continuations, self.given, fillvalue=0)  # type: ignore[arg-type]

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


def make_batches(
    rows: Sequence[Row], max_rows: int, max_tokens: int, growth: int = 0, reach: int | None = None
) -> list[Batch]:
    """Cluster rows by shared prefix, then cut each cluster into batches of rows of like length.

    Args:
        rows: from `make_rows`.
        max_rows: rows in a batch. More are taken where the prefix leaves so little of each that all of them compute no
            more tokens than `max_rows` whole ones would, and their keys and values, the prefix's with each, are of no
            more than `max_tokens` tokens: a batch of small rows leaves the machine idle.
        max_tokens: tokens in a batch, padding included; a row that is longer goes alone.
        growth: tokens that will be written behind each row; they count, and since every one of them costs a step
            over all weights, batches are kept large, whatever the padding and the prefix.
        reach: contexts become branches of one row only while it has so many tokens at most, the prefix included.

    The result depends on the arguments alone, so that a killed run finds the same batches again.
    """
    batches: list[Batch] = []
    least = max(MIN_CLUSTER, max_rows) if growth else MIN_CLUSTER
    for prefix, members in _clusters(sorted(rows, key=lambda r: (r.context, r.continuations)), least):
        ways = [members]
        if not growth:
            widths = [w for w in BRANCHED if reach is None or len(prefix) + w <= reach]
            ways += [_joined(members, len(prefix), width) for width in widths]
        cheapest: list[Batch] = min((_cut(prefix, way, max_rows, max_tokens, growth) for way in ways), key=_cost)
        batches += cheapest
    return batches


def _cut(prefix: tuple[int, ...], rows: Sequence[Row], max_rows: int, max_tokens: int, growth: int) -> list[Batch]:
    """Batches of rows of like length, of a cluster's."""
    batches: list[Batch] = []
    current: list[Row] = []
    width = most = 0
    # Sorting is stable, so equal lengths keep their order.
    for whole, row in sorted(((row.n_tokens, row) for row in rows), key=lambda sized: -sized[0]):
        length = whole - len(prefix) + growth
        too_short = not growth and length < WORTH_PADDING * width and width * len(current) >= MIN_BATCH_TOKENS
        if current and (too_short or len(current) == most or width * (len(current) + 1) > max_tokens):
            batches.append(Batch(prefix, current))
            current = []
        if not current:
            width, most = length, max_rows if growth else _most_rows(len(prefix), length, max_rows, max_tokens)
        current.append(row)
    return [*batches, Batch(prefix, current)]


def _cost(batches: Sequence[Batch]) -> int:
    """What batches cost, each as wide as its first row: a token's linear layers, and holding it against its row."""
    cost = 0
    for batch in batches:
        whole = batch.rows[0].n_tokens
        cost += len(batch.rows) * (whole - len(batch.prefix)) * (WIDE + whole)
    return cost


def _joined(rows: Sequence[Row], skip: int, widest: int) -> list[Row]:
    """Neighbours of a cluster as branches of one row each, and what is left small with what is left large.

    Args:
        rows: sorted by their contexts, which share the first `skip` tokens.
        skip: tokens of the prefix.
        widest: tokens that a row of several may have behind it.
    """
    runs: list[tuple[int, list[Row]]] = []  # with the tokens that they have behind the prefix, at most
    for row in rows:
        length = row.n_tokens - skip
        more = length + skip - common_prefix(runs[-1][1][-1].context, row.context) if runs else 0
        if runs and runs[-1][0] + more <= widest:
            runs[-1] = (runs[-1][0] + more, [*runs[-1][1], row])
        else:
            runs.append((length, [row]))
    left = deque(sorted(runs, key=lambda run: -run[0]))
    joined: list[Row] = []
    while left:
        size, members = left.popleft()
        while left and size + left[-1][0] <= widest:
            more, others = left.pop()
            size, members = size + more, members + others
        joined.append(_branching(members, skip) if len(members) > 1 else members[0])
    return joined


def _branching(rows: Sequence[Row], skip: int) -> Row:
    """Rows as one: the prefix, then what is left of each context in front of its continuations."""
    whole = Row(rows[0].context[:skip])
    for row in rows:
        rest = row.context[skip:]
        whole.continuations += [rest + continuation for continuation in row.continuations]
        whole.requests += row.requests
        whole.given += [len(rest)] * len(row.continuations)
    return whole


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
