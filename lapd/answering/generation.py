"""Decoding in batches that shrink: who has finished leaves, and a shared prefix is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from lapd.answering.numbers import check_chosen
from lapd.packed.attending import grouped_heads, make_room
from lapd.packed.forward import body_of, going_on_from, vocabulary_logits
from lapd.packed.regimes import reach
from lapd.packed.windows import Masks, layer_masks, taking

HARMLESS = frozenset(
    {"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "do_sample", "temperature", "top_k",
     "top_p", "max_length", "max_new_tokens", "use_cache", "output_attentions", "output_hidden_states",
     "transformers_version", "_from_model_config"}
)  # fmt: skip
"""Settings of a model's generation config that do not change what greedy decoding gives, nor what is sampled here."""


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
    cache: DynamicCache | None = None,
    skip: int = 0,
    called: str = "The model",
    choose: Callable[[torch.Tensor, list[int], int], torch.Tensor] | None = None,
) -> list[list[int]]:
    """What the model goes on with after each context, token after token.

    Args:
        causal: a causal language model of transformers.
        contexts: token ids; none is empty, and none ends within the first `skip`.
        limit: at most so many tokens.
        is_finished: whether what has been written so far is all.
        cache: keys and values of the contexts' first `skip` tokens, which they share.
        skip: length of that prefix.
        called: what the model is called, should it give no numbers.
        choose: the next token of each row, of logits (rows, vocabulary), the rows' contexts by number, and how many
            tokens each has written; the likeliest without it.

    Returns:
        The tokens of each answer, the one that ended it included.

    Raises:
        ModelError: its logits are no numbers.
    """
    device = next(causal.parameters()).device
    width = max(map(len, contexts)) - skip
    ids = torch.zeros(len(contexts), width, dtype=torch.long)
    mask = torch.ones(len(contexts), skip + width, dtype=torch.long)
    for row, context in enumerate(contexts):
        pad = width - (len(context) - skip)
        ids[row, pad:] = torch.tensor(context[skip:])
        mask[row, skip : skip + pad] = 0
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(-1) - 1)[:, skip:].clamp(min=0)
    places = torch.cat([torch.arange(skip, device=device).expand(len(contexts), skip), positions], dim=-1)
    model, config = body_of(causal), causal.config.get_text_config()
    cache = DynamicCache() if cache is None else cache
    written: list[list[int]] = [[] for _ in contexts]
    rows = list(range(len(contexts)))
    for step in range(limit):
        with grouped_heads(), taking(model, _sees(config, mask, positions, places, causal.dtype)) as sees:
            states = model(
                input_ids=ids, attention_mask=sees, position_ids=positions, **going_on_from(model, cache)
            ).last_hidden_state[:, -1]
        if step == 0:
            make_room(cache, limit)
        logits = vocabulary_logits(causal, states)
        tokens = logits.argmax(-1)
        check_chosen(logits, tokens, called)
        tokens = choose(logits, rows, step) if choose else tokens
        for row, token in zip(rows, tokens.tolist(), strict=True):
            written[row].append(token)
        going = [k for k, row in enumerate(rows) if not is_finished(written[row])]
        if not going:
            break
        positions = positions[:, -1:] + 1
        if len(going) < len(rows):
            rows = [rows[k] for k in going]
            keep = torch.tensor(going, device=device)
            cache.batch_select_indices(keep)
            tokens, mask, positions, places = tokens[keep], mask[keep], positions[keep], places[keep]
        ids, places = tokens[:, None], torch.cat([places, positions], dim=-1)
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
    return written


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
