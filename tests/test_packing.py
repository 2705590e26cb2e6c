"""The layout of log-likelihood requests: nothing lost, nothing twice, limits kept, prefixes really shared."""

import random
from itertools import chain

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lapd.packed.forward import SharedPrefix, pack
from lapd.packed.layout import MIN_CLUSTER, MIN_PREFIX, Row, common_prefix, make_batches, make_rows

WINDOW, ROW, MAX_ROWS, MAX_TOKENS = 60, 10, 8, 200


def make_requests(seed):
    """Requests as benchmarks make them: a few shared openings, contexts with several continuations, duplicates."""
    rng = random.Random(seed)

    def tokens(low, high):
        return [rng.randrange(5) for _ in range(rng.randint(low, high))]

    openings = [tokens(0, 30) for _ in range(4)]
    requests = []
    for _ in range(rng.randint(1, 60)):
        context = rng.choice(openings) + tokens(1, 50)
        requests += [(context, tokens(1, 9)) for _ in range(rng.randint(1, 5))]
    requests += rng.sample(requests, len(requests) // 4)
    rng.shuffle(requests)
    return requests


def as_lm_eval_feeds(context, continuation, window):
    """lm-eval's own way to a context (huggingface.py): the last `window + 1` tokens, all but the last of them fed."""
    fed = (context + continuation)[-(window + 1) :][:-1]
    return tuple(fed[: len(fed) + 1 - len(continuation)])


@pytest.mark.parametrize("seed", range(30))
def test_every_request_is_answered_exactly_once_by_its_own_tokens(seed):
    requests = make_requests(seed)
    rows = make_rows(requests, WINDOW, ROW)
    answered = {}
    for batch in make_batches(rows, MAX_ROWS, MAX_TOKENS):
        for row in batch.rows:
            for (tokens, given), indices in zip(row.branches(), row.requests, strict=True):
                for index in indices:
                    assert index not in answered
                    answered[index] = (row.context + tokens[:given], tokens[given:])
    assert answered == {
        index: (as_lm_eval_feeds(context, continuation, WINDOW), tuple(continuation))
        for index, (context, continuation) in enumerate(requests)
    }


@pytest.mark.parametrize("seed", range(30))
def test_limits_are_kept_and_prefixes_are_shared(seed):
    rows = make_rows(make_requests(seed), WINDOW, ROW)
    for row in rows:
        fed = row.n_tokens - len(row.context)
        assert len(row.continuations) == 1 or fed <= max(ROW, 2 * len(row.context))
        assert len(set(row.continuations)) == len(row.continuations)
    batches = make_batches(rows, MAX_ROWS, MAX_TOKENS)
    for batch in batches:
        width = max(row.n_tokens for row in batch.rows) - len(batch.prefix)
        whole = len(batch.prefix) + width
        assert 1 <= len(batch.rows) <= MAX_ROWS or len(batch.rows) * whole <= MAX_TOKENS
        assert len(batch.rows) * width <= MAX_ROWS * whole
        assert len(batch.rows) == 1 or width * len(batch.rows) <= MAX_TOKENS
        assert not batch.prefix or len(batch.prefix) >= MIN_PREFIX
        for row in batch.rows:
            assert row.context[: len(batch.prefix)] == batch.prefix
            # The last token of the context predicts the continuation's first: it has to be computed.
            assert all(len(row.context) + given > len(batch.prefix) for _, given in row.branches())


@pytest.mark.parametrize("seed", range(5))
def test_the_same_requests_give_the_same_batches(seed):
    def batches(rows):
        return [
            (b.prefix, [(r.context, r.continuations, r.requests, r.given) for r in b.rows])
            for b in make_batches(rows, MAX_ROWS, MAX_TOKENS)
        ]

    requests = make_requests(seed)
    once = batches(make_rows(requests, WINDOW, ROW))
    assert batches(make_rows(requests, WINDOW, ROW)) == once
    assert batches(make_rows(requests, WINDOW, ROW)[::-1]) == once


def test_requests_with_one_context_become_one_row():
    rows = make_rows([([1, 2], [3]), ([1, 2], [4, 5]), ([1, 9], [3])], 10, 100)
    assert [(r.context, r.continuations, r.requests) for r in rows] == [
        ((1, 2), [(3,), (4, 5)], [[0], [1]]),
        ((1, 9), [(3,)], [[2]]),
    ]
    assert rows[0].n_tokens == 2 + 0 + 1


def test_what_continuations_have_in_common_at_their_start_is_computed_once():
    (row,) = make_rows([([1, 2], [7, 8, 3]), ([1, 2], [7, 8, 4, 5]), ([1, 2], [7, 9]), ([1, 2], [6, 8, 3])], 20, 100)
    assert row.n_tokens == len([1, 2, 7, 8, 4, 6, 8])
    packed = pack([row], torch.device("cpu"), torch.float32)
    assert packed.ids.tolist() == [[1, 2, 7, 8, 4, 6, 8]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 2, 3]]
    assert packed.columns.tolist() == [1, 2, 3, *[1, 2, 3, 4], *[1, 2], *[1, 5, 6]]
    seen = [sorted(torch.nonzero(row == 0).flatten().tolist()) for row in packed.mask[0, 0]]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 5], [0, 1, 5, 6]]


@pytest.mark.parametrize("seed", range(10))
def test_packed_rows_are_as_wide_as_their_rows_say(seed):
    for batch in make_batches(make_rows(make_requests(seed), WINDOW, ROW), MAX_ROWS, MAX_TOKENS):
        packed = pack(batch.rows, torch.device("cpu"), torch.float32, skip=len(batch.prefix))
        assert packed.ids.shape == (len(batch.rows), max(r.n_tokens for r in batch.rows) - len(batch.prefix))


def test_a_request_that_is_made_twice_is_computed_once():
    rows = make_rows([([1], [2, 3]), ([1], [4]), ([1], [2, 3])], 10, 100)
    assert [(r.continuations, r.requests) for r in rows] == [([(2, 3), (4,)], [[0, 2], [1]])]


def test_a_row_that_is_full_goes_on_in_another():
    requests = [([1], [n, n, n]) for n in range(5)]
    rows = make_rows(requests, 10, 4)
    assert [row.n_tokens for row in rows] == [5, 5, 3]
    assert sorted(chain(*(chain(*row.requests) for row in rows))) == [0, 1, 2, 3, 4]
    assert len(make_rows(requests, 10, 2)) == 5


def test_a_long_context_is_not_repeated_for_a_few_tokens():
    requests = [(list(range(100, 120)), [n, n, n]) for n in range(21)]
    assert [len(row.continuations) for row in make_rows(requests, 100, 4)] == [20, 1]


def test_an_empty_continuation_is_refused():
    with pytest.raises(ValueError, match="empty"):
        make_rows([([1, 2], [])], 8, 100)


def test_rows_much_shorter_than_their_batch_begin_another():
    rows = [Row(tuple(range(n * 1000, n * 1000 + length)), [(1,)], [[n]]) for n, length in enumerate([200] * 9 + [40])]
    assert [len(batch.rows) for batch in make_batches(rows, 100, 10_000)] == [9, 1]
    few = [Row(tuple(range(n * 1000, n * 1000 + length)), [(1,)], [[n]]) for n, length in enumerate([200, 40])]
    assert [len(batch.rows) for batch in make_batches(few, 100, 10_000)] == [2]


def test_a_request_that_is_too_long_loses_tokens_from_the_left():
    context = list(range(100, 110))
    # A window of 8 feeds 8 tokens; the continuation's third is predicted and never fed.
    (row,) = make_rows([(context, [1, 2, 3])], 8, 100)
    assert row.context == tuple(context[-6:])
    assert row.n_tokens == 8
    (row,) = make_rows([(context, list(range(8)))], 8, 100)
    assert (row.context, row.n_tokens) == ((109,), 8)


def test_a_continuation_that_is_longer_than_the_window_is_refused():
    with pytest.raises(ValueError, match="12 tokens does not fit the model's 8"):
        make_rows([([1, 2], list(range(12)))], 8, 100)


def test_a_common_opening_is_computed_once():
    opening = list(range(20))
    rows = make_rows([([*opening, n, 7], [1]) for n in range(MIN_CLUSTER)], 100, 100)
    (batch,) = make_batches(rows, 100, 10_000)
    assert batch.prefix == tuple(opening)


def test_small_rows_behind_a_long_prefix_come_in_larger_batches():
    opening = list(range(80))
    rows = make_rows([([*opening, n, *range(19)], [7]) for n in range(1000, 1100)], 200, 100)
    # Twenty tokens of a hundred are computed: forty rows cost what eight whole ones would.
    assert [len(batch.rows) for batch in make_batches(rows, 8, 10_000)] == [40, 40, 20]
    # Forty of a hundred tokens each would be too many to keep: thirty are not.
    assert [len(batch.rows) for batch in make_batches(rows, 8, 3000)] == [30, 30, 30, 10]
    assert [len(batch.rows) for batch in make_batches(rows, 8, 700)] == [8] * 12 + [4]


def test_contexts_that_share_more_than_the_prefix_become_branches_of_one_row():
    opening, more = list(range(10)), list(range(100, 120))
    requests = [([*opening, 50 + n // 3, *more, n], [7, 8]) for n in range(24)]
    (batch,) = make_batches(make_rows(requests, 100, 100), 32, 10_000)
    assert batch.prefix == tuple(opening)
    # Of each three contexts: what they share once, then the last token of each, and the answer's first.
    assert [row.n_tokens for row in batch.rows] == [10 + 2 * (21 + 3 * 2)] * 4
    packed = pack(batch.rows[:1], torch.device("cpu"), torch.float32, skip=10)
    assert packed.ids[0, :25].tolist() == [50, *more, 0, 7, 1, 7]
    assert packed.positions[0, :25].tolist() == [*range(10, 33), 31, 32]
    assert packed.lengths == [2] * 6
    assert packed.targets.tolist() == [7, 8] * 6
    assert packed.columns[:4].tolist() == [21, 22, 23, 24]
    seen = torch.nonzero(packed.mask[0, 0] == 0)
    assert seen[seen[:, 0] == 24, 1].tolist() == [*range(31), 33, 34]
    assert seen[seen[:, 0] == 27, 1].tolist() == [*range(10), 37]  # the next three's first


def test_contexts_that_share_nothing_stand_apart_in_one_row():
    requests = [([n, n, n], [7]) for n in range(1, 43)]
    batches = make_batches(make_rows([*requests, (list(range(100, 164)), [7])], 100, 100), 32, 10_000)
    assert [[row.n_tokens for row in batch.rows] for batch in batches] == [[64, 63, 63]]
    packed = pack(batches[0].rows[1:2], torch.device("cpu"), torch.float32)
    assert packed.positions.tolist() == [[0, 1, 2] * 21]
    seen = [torch.nonzero(row == 0).flatten().tolist() for row in packed.mask[0, 0]]
    assert seen == [list(range(n - n % 3, n + 1)) for n in range(63)]


@pytest.mark.parametrize("seed", range(5))
def test_a_row_of_several_contexts_stays_within_reach(seed):
    rows = make_rows(make_requests(seed), WINDOW, ROW)
    longest = max(row.n_tokens for row in rows)
    for reach in (longest, longest + 70):
        found = [row for batch in make_batches(rows, MAX_ROWS, MAX_TOKENS, reach=reach) for row in batch.rows]
        assert max(row.n_tokens for row in found) <= reach
    assert any(row.given for row in found) or len(rows) < MIN_CLUSTER


@pytest.mark.parametrize("seed", range(5))
def test_branches_are_only_taken_where_fewer_tokens_are_computed(seed, monkeypatch):
    def computed():
        batches = make_batches(make_rows(make_requests(seed), WINDOW, ROW), MAX_ROWS, MAX_TOKENS)
        return sum(len(b.rows) * (max(row.n_tokens for row in b.rows) - len(b.prefix)) for b in batches)

    branching = computed()
    monkeypatch.setattr("lapd.packed.layout.BRANCHED", ())
    assert branching <= computed()


def test_two_groups_keep_their_own_openings():
    one, two = list(range(100, 130)), list(range(200, 230))
    requests = [([1, *opening, n, 7], [1]) for opening in (one, two) for n in range(MIN_CLUSTER)]
    batches = make_batches(make_rows(requests, 100, 100), 100, 10_000)
    assert sorted(b.prefix for b in batches) == [(1, *one), (1, *two)]


def test_rows_that_will_grow_stay_together():
    """Each step of writing reads all the weights: neither padding nor a longer prefix is worth another batch."""
    opening = list(range(20))
    openings = [[*opening, *range(n, n + 9)] for n in (100, 200)]
    rows = [Row((*opening_, n, *range(n % 7)), [(1,)], [[n]]) for opening_ in openings for n in range(300, 312)]
    assert len(make_batches(rows, 32, 10_000)) == 2
    (batch,) = make_batches(rows, 32, 10_000, growth=50)
    assert batch.prefix == tuple(opening)
    assert len(batch.rows) == 24
    for cut in make_batches(rows, 32, 700, growth=50):
        assert len(cut.rows) * (max(row.n_tokens for row in cut.rows) - len(cut.prefix) + 50) <= 700


def test_a_short_opening_or_a_single_row_gets_no_prefix():
    requests = [([*range(MIN_PREFIX - 1), n, 7], [1]) for n in range(100, 120)]
    assert {b.prefix for b in make_batches(make_rows(requests, 100, 100), 100, 10_000)} == {()}
    assert make_batches(make_rows([(list(range(50)), [1])], 100, 100), 8, 100)[0].prefix == ()


def test_a_row_longer_than_the_limit_goes_alone():
    rows = [Row(tuple(range(n, n + 30)), [(1,)], [[n]]) for n in range(3)]
    assert [len(b.rows) for b in make_batches(rows, 8, 20)] == [1, 1, 1]


def test_no_rows_make_no_batches():
    assert make_batches([], 8, 100) == []
    assert make_rows([], 8, 100) == []


def test_common_prefix():
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([1, 2], [1, 2, 4]) == 2
    assert common_prefix([], [1]) == common_prefix([2], [1]) == 0


def test_a_prefix_is_kept_once_however_many_rows_stand_behind_it():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    shared = SharedPrefix(LlamaForCausalLM(config).eval())
    with torch.inference_mode():
        cache = shared.cache(tuple(range(12)), 50)
        assert cache is not None
        assert [layer.keys.shape for layer in cache.layers] == [(50, 2, 12, 8)] * 2
        assert all(layer.keys.untyped_storage().nbytes() == 2 * 12 * 8 * 4 for layer in cache.layers)
        new = torch.ones(50, 2, 3, 8)
        keys, _ = cache.update(new, new, 0)
        assert torch.equal(keys[7, :, :12], shared.layers[0][0][0])
        again = shared.cache(tuple(range(12)), 3)
        assert again is not None and again.get_seq_length() == 12
