"""Rows that come and go in one cache, and heads that share it: the same numbers as transformers' own way."""

from __future__ import annotations

import pytest
import torch
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lapd.packed.attending import PLAIN, Places, grouped_heads

HEADS, SHARED, WIDTH = 6, 2, 8


class Layer:
    num_key_value_groups = 3
    is_causal = True


class Text:
    """A row's keys and values, and what its queries see, each token of it at its own time."""

    def __init__(self, begin: int, tokens: int) -> None:
        self.begin = begin
        self.states = torch.randn(2, SHARED, tokens, WIDTH)
        self.queries = torch.randn(tokens, HEADS, 1, WIDTH)

    def attend(self, read: int) -> torch.Tensor:
        """What transformers' own attention gives for the last of so many tokens, with this row alone."""
        plain = ALL_ATTENTION_FUNCTIONS[PLAIN]
        keys, values = self.states[:, None, :, :read]
        out: torch.Tensor = plain(Layer(), self.queries[read - 1][None], keys, values, None, scaling=0.3)[0]
        return out[0]


def join(places: Places, texts: list[Text], read: list[int]) -> None:
    columns, cache = max(read), DynamicCache()
    states = torch.full((2, len(texts), SHARED, columns, WIDTH), 1e9)
    mask, positions = torch.zeros(2, len(texts), columns, dtype=torch.long).unbind()
    for row, (text, n) in enumerate(zip(texts, read, strict=True)):
        states[:, row, :, columns - n :] = text.states[:, :, :n]
        mask[row, columns - n :], positions[row, columns - n :] = 1, torch.arange(n)
    cache.update(*states, 0)
    places.join(cache, mask, positions)


def go_on(places: Places, texts: list[Text], read: list[int]) -> None:
    """A token more in every row: each must see its own text, and nothing else."""
    assert places.next_column()[:, 0].tolist() == read
    new = torch.stack([text.states[:, :, n] for text, n in zip(texts, read, strict=True)], 1)[..., None, :]
    query = torch.stack([text.queries[n] for text, n in zip(texts, read, strict=True)])
    mask = torch.zeros(places.mask.shape).masked_fill_(places.mask == 0, torch.finfo(torch.float32).min)
    plain = ALL_ATTENTION_FUNCTIONS[PLAIN]
    with grouped_heads():
        states = places.cache.update(*new, 0)
        ours = ALL_ATTENTION_FUNCTIONS[PLAIN](Layer(), query, *states, mask[:, None, None], scaling=0.3)[0]
    assert ALL_ATTENTION_FUNCTIONS[PLAIN] is plain
    torch.testing.assert_close(ours, torch.stack([text.attend(n + 1) for text, n in zip(texts, read, strict=True)]))


def test_what_nothing_was_written_to_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = torch.Tensor.new_empty
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda like, *shape: empty(like, *shape).fill_(torch.nan))
    torch.manual_seed(0)
    places, texts = Places(2, 15, torch.device("cpu")), [Text(9, 12), Text(3, 6)]
    for text in texts:
        join(places, [text], [text.begin])
    go_on(places, texts, [text.begin for text in texts])


def test_rows_that_come_and_go_see_what_they_would_see_alone() -> None:
    """Three places and few columns: rows leave from the middle and from the end, others join, all move to the left."""
    torch.manual_seed(0)
    waiting = [Text(begin, begin + more) for begin, more in ((5, 3), (4, 9), (3, 5), (3, 8), (2, 4), (2, 9))][::-1]
    places = Places(3, 15, torch.device("cpu"))
    texts: list[Text] = []
    read: list[int] = []
    widths = []
    while waiting or texts:
        if waiting and len(texts) < 2:
            new = [waiting.pop() for _ in range(min(3 - len(texts), len(waiting)))]
            join(places, new, [text.begin for text in new])
            texts, read = texts + new, read + [text.begin for text in new]
        go_on(places, texts, read)
        read = [n + 1 for n in read]
        for place in reversed(range(len(texts))):
            if read[place] == len(texts[place].queries):
                places.leave(place)
                texts[place], read[place] = texts[-1], read[-1]
                del texts[-1], read[-1]
        widths.append(places.mask.shape[1] if texts else 0)
    assert max(widths) <= 15 and widths != sorted(widths), "columns that nobody needs are let go"
