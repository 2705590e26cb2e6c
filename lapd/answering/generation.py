"""Decoding many texts in few places: who has finished leaves, the next one takes its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from lapd.answering.numbers import check_chosen
from lapd.packed.attending import Places, grouped_heads
from lapd.packed.forward import body_of, going_on_from, vocabulary_logits
from lapd.packed.regimes import reach
from lapd.packed.windows import Masks, layer_masks, taking

HARMLESS = frozenset(
    {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "do_sample", "temperature", "top_k",
     "top_p", "max_length", "max_new_tokens", "use_cache", "output_attentions", "output_hidden_states",
     "transformers_version", "_from_model_config"}
)  # fmt: skip
"""Settings of a model's generation config that do not change what greedy decoding gives, nor what is sampled here."""


REFILL = 8
"""New rows are read once such a part of the places is free: one alone would have all the weights read for it."""

READ = 16
"""Of new rows, so many are read together: with fewer the weights would be read too often, with more there would be much
padding to the longest of them."""

SPARE = 64
"""So many columns more than the longest row takes: when they are full, everything is moved to the first ones."""


def decodes_plainly(causal: Any) -> bool:
    """Whether greedy decoding is the likeliest token every time: no repetition penalty and the like by default."""
    config = getattr(causal, "generation_config", None)
    return config is None or set(config.to_diff_dict()) <= HARMLESS


def end_tokens(causal: Any, eos: int | None) -> frozenset[int]:
    """The tokens that end an answer: those of the model's generation config, and the tokenizer's."""
    own = getattr(getattr(causal, "generation_config", None), "eos_token_id", None)
    own = own if isinstance(own, list) else [own]
    return frozenset(token for token in (*own, eos) if token is not None)


@torch.inference_mode()  # type: ignore[untyped-decorator]
def decode(
    causal: Any,
    contexts: Sequence[tuple[int, ...]],
    limit: int,
    is_finished: Callable[[list[int]], bool],
    places: int | None = None,
    skip: int = 0,
    prefix: Callable[[int], DynamicCache | None] = lambda rows: None,
    called: str = "The model",
    choose: Callable[[torch.Tensor, list[int], list[int]], torch.Tensor] | None = None,
    on_finished: Callable[[int], None] = lambda row: None,
) -> list[list[int]]:
    """What the model goes on with after each context, token after token.

    Args:
        causal: a causal language model of transformers.
        contexts: token ids; none is empty, and none ends within the first `skip`.
        limit: at most so many tokens.
        is_finished: whether what has been written so far is all.
        places: how many are written beside each other; the place of one that has ended is the next one's. All of them
            without it.
        skip: length of a prefix that the contexts share.
        prefix: a cache of that prefix's keys and values for so many rows.
        called: what the model is called, should it give no numbers.
        choose: the next token of each row, of logits (rows, vocabulary), the rows' contexts by number, and how many
            tokens each has written; the likeliest without it.
        on_finished: called with the number of a context whose answer has ended.

    Returns:
        The tokens of each answer, the one that ended it included.

    Raises:
        ModelError: its logits are no numbers.
    """
    places = min(places or len(contexts), len(contexts))
    waiting = sorted(range(len(contexts)), key=lambda row: len(contexts[row]))  # the longest is the first to be taken
    columns = len(contexts[waiting[-1]]) + limit + (SPARE if places < len(contexts) else 0)
    kept = Places(places, columns, next(causal.parameters()).device)
    written: list[list[int]] = [[] for _ in contexts]
    rows: list[int] = []
    while waiting or rows:
        free = places - len(rows)
        if waiting and (not rows or free >= max(1, places // REFILL)):
            going = [waiting.pop() for _ in range(min(free, len(waiting)))]
            states = torch.cat(
                [
                    _begin(causal, kept, [contexts[row][skip:] for row in alike], skip, prefix(len(alike)))
                    for alike in (going[n : n + READ] for n in range(0, len(going), READ))
                ]
            )
            rows += going
        else:
            going, states = rows, _go_on(causal, kept, [written[row][-1] for row in rows])
        logits = vocabulary_logits(causal, states)
        tokens = logits.argmax(-1)
        check_chosen(logits, tokens, called)
        tokens = choose(logits, going, [len(written[row]) for row in going]) if choose else tokens
        for row, token in zip(going, tokens.tolist(), strict=True):
            written[row].append(token)
        for place in reversed(range(len(rows) - len(going), len(rows))):
            row = rows[place]
            if len(written[row]) == limit or is_finished(written[row]):
                kept.leave(place)
                rows[place] = rows[-1]
                rows.pop()
                on_finished(row)
    return written


def _begin(
    causal: Any, kept: Places, contexts: Sequence[tuple[int, ...]], skip: int, cache: DynamicCache | None
) -> torch.Tensor:
    """Read what new rows begin with behind a prefix of `skip` tokens: the last states, [rows, hidden]."""
    width = max(map(len, contexts))
    ids = torch.zeros(len(contexts), width, dtype=torch.long)
    mask = torch.ones(len(contexts), skip + width, dtype=torch.long)
    for row, context in enumerate(contexts):
        pad = width - len(context)
        ids[row, pad:] = torch.tensor(context)
        mask[row, skip : skip + pad] = 0
    device = next(causal.parameters()).device
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache() if cache is None else cache
    states = _last_states(
        causal, ids.to(device), mask.to(device), positions[:, skip:].to(device), positions.to(device), cache
    )
    kept.join(cache, mask.to(device), positions.to(device))
    return states


def _go_on(causal: Any, kept: Places, tokens: Sequence[int]) -> torch.Tensor:
    """Read the token that each row has written last: the states behind it, [rows, hidden]."""
    positions = kept.next_column()
    ids = torch.tensor(tokens, device=positions.device)[:, None]
    with grouped_heads():
        return _last_states(causal, ids, kept.mask, positions, kept.positions, kept.cache)


def _last_states(
    causal: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, places: torch.Tensor, cache: Any
) -> torch.Tensor:
    model, config = body_of(causal), causal.config.get_text_config()
    with taking(model, _sees(config, mask, positions, places, causal.dtype)) as sees:
        outputs = model(input_ids=ids, attention_mask=sees, position_ids=positions, **going_on_from(model, cache))
    states: torch.Tensor = outputs.last_hidden_state[:, -1]
    return states


def _sees(config: Any, mask: torch.Tensor, positions: torch.Tensor, places: torch.Tensor, dtype: torch.dtype) -> Masks:
    """What the next tokens see: the mask over columns itself, where no row is beyond a window of attention.

    Args:
        config: the text model's.
        mask: [rows, columns], 0 where a column is padding.
        positions: [rows, new], of the tokens in the last columns.
        places: [rows, columns], the position of each.
        dtype: the model's.
    """
    limit = reach(config)
    if limit is None or mask.shape[1] <= limit:
        return mask
    rows, new, columns = len(mask), positions.shape[1], mask.shape[1]
    before = torch.ones(new, columns, dtype=torch.bool, device=mask.device).tril(columns - new)
    sees = mask.bool()[:, None, :] & before
    sees |= torch.eye(columns, dtype=torch.bool, device=mask.device)[columns - new :]  # padding sees something, too
    return layer_masks(config, sees.expand(rows, new, columns), positions, places, dtype)
