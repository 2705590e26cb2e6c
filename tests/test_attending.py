"""Keys and values with room, and heads that share them: the same numbers as transformers' own way."""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lapd.packed.attending import PLAIN, grouped_heads, make_room


class Layer:
    num_key_value_groups = 3
    is_causal = True


def test_room_and_groups_change_no_number_while_rows_come_to_their_end() -> None:
    torch.manual_seed(0)
    old, new = DynamicCache(), DynamicCache()
    keys, values = torch.randn(2, 4, 2, 5, 8)
    for cache in (old, new):
        cache.update(keys, values, 0)
    make_room(new, 3)
    for step, keep in enumerate(([0, 1, 2, 3], [0, 2, 3], [2])):
        for cache in (old, new):
            cache.batch_select_indices(torch.tensor(keep))
        (key, value), query = torch.randn(2, len(keep), 2, 1, 8), torch.randn(len(keep), 6, 1, 8)
        mask = torch.zeros(len(keep), 1, 1, 6 + step)
        mask[:, :, :, :2] = torch.finfo(mask.dtype).min
        plain = ALL_ATTENTION_FUNCTIONS[PLAIN]
        theirs = plain(Layer(), query, *old.update(key, value, 0), mask, scaling=0.3)[0]
        with grouped_heads():
            ours = ALL_ATTENTION_FUNCTIONS[PLAIN](Layer(), query, *new.update(key, value, 0), mask, scaling=0.3)[0]
        assert ALL_ATTENTION_FUNCTIONS[PLAIN] is plain
        torch.testing.assert_close(ours, theirs)
        assert new.get_seq_length() == 6 + step
