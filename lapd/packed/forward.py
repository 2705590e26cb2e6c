"""The torch side of packed rows: tensors, the attention mask, the forward pass, log-probabilities.

Shared by scoring (`lapd.answering.lm`) and by training (the trainers' DPO loss): a preference pair is a row with the
prompt as its context and two continuations.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lapd.packed.layout import Row
from lapd.packed.regimes import windowed
from lapd.packed.vocabulary import target_logprobs
from lapd.packed.windows import Masks, layer_masks, taking

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}
"""Largest difference (nats, over a handful of tokens) between packed and plain scoring that counts as the same."""

REFUSALS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)
"""What architectures raise at arguments that they do not take."""

SLICE = 512
"""So many outputs meet the vocabulary at once."""


@dataclass
class PackedRows:
    """Rows as tensors.

    Attributes:
        ids: [rows, width] token ids; padding on the right.
        positions: [rows, width]; each continuation's begin where its context ends.
        mask: [rows, 1, width, skip + width], additive; one for each kind of layer where they see differently far.
        rows: [n] for each token to be predicted, its row ...
        columns: [n] ... and the column whose output predicts it.
        targets: [n] the tokens to be predicted, continuation after continuation.
        lengths: tokens of each continuation, without those that are given.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: Masks
    rows: torch.Tensor
    columns: torch.Tensor
    targets: torch.Tensor
    lengths: list[int]


def pack(
    rows: Sequence[Row], device: torch.device, dtype: torch.dtype, skip: int = 0, config: Any = None
) -> PackedRows:
    """Lay `rows` out as tensors, without their first `skip` tokens (a prefix whose keys and values are at hand).

    Args:
        rows: from `lapd.packed.layout`.
        device: the model's.
        dtype: the model's.
        skip: tokens of the prefix.
        config: the text model's, where rows may be longer than a window of its attention.
    """
    layouts = [_layout(row, skip) for row in rows]
    width = max(len(layout.ids) for layout in layouts)
    ids, positions, parents = torch.zeros(3, len(rows), width, dtype=torch.long)
    for r, layout in enumerate(layouts):
        for tensor, values in ((ids, layout.ids), (positions, layout.positions), (parents, layout.parents)):
            tensor[r, : len(values)] = torch.tensor(values)
    places = torch.cat([torch.arange(skip).expand(len(rows), skip), positions], dim=-1)
    masks = layer_masks(config, _sees(parents, skip), positions, places, dtype)
    return PackedRows(
        ids.to(device),
        positions.to(device),
        {kind: mask.to(device) for kind, mask in masks.items()} if isinstance(masks, dict) else masks.to(device),
        torch.tensor([r for r, layout in enumerate(layouts) for _ in layout.predictors], device=device),
        torch.tensor([column for layout in layouts for column in layout.predictors], device=device),
        torch.tensor([t for row in rows for c, given in row.branches() for t in c[given:]], device=device),
        [len(c) - given for row in rows for c, given in row.branches()],
    )


@dataclass
class _Layout:
    """A row as a tree of tokens, a column each: the context is its stem, the continuations are its branches.

    Where there is no stem there are several trees; all of it stands behind the skipped prefix.

    Attributes:
        ids: token ids.
        positions: how far each token is from the root, the skipped prefix included.
        parents: the column that each token follows; a root's is its own.
        predictors: the columns whose outputs predict the continuations' tokens, in order.
    """

    ids: list[int]
    positions: list[int]
    parents: list[int]
    predictors: list[int]


def _layout(row: Row, skip: int) -> _Layout:
    stem = len(row.context) - skip
    layout = _Layout(list(row.context[skip:]), list(range(skip, len(row.context))), [0, *range(stem - 1)][:stem], [])
    columns: dict[tuple[int, int], int] = {}
    for continuation, given in row.branches():
        column = stem - 1
        for depth, token in enumerate(continuation):
            if depth >= given:
                layout.predictors.append(column)
            if depth == len(continuation) - 1:
                break  # the last token predicts nothing that is asked for
            parent, column = column, columns.setdefault((column, token), len(layout.ids))
            if column == len(layout.ids):
                layout.ids.append(token)
                layout.positions.append(len(row.context) + depth)
                layout.parents.append(parent if parent >= 0 else column)
    return layout


def _sees(parents: torch.Tensor, skip: int) -> torch.Tensor:
    """A token sees the prefix, itself, and whatever its parent sees: [rows, width, skip + width]."""
    rows, width = parents.shape
    sees = torch.eye(width, dtype=torch.bool).repeat(rows, 1, 1)
    for column in range(1, width):
        sees[:, column] |= sees[torch.arange(rows), parents[:, column]]
    return torch.cat([torch.ones(rows, width, skip, dtype=torch.bool), sees], dim=-1)


def causal_of(model: Any) -> Any:
    """The causal language model itself: inside a PEFT model, the one that carries the adapters' layers."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def token_logprobs(causal: Any, packed: PackedRows, cache: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability (nats) of each target token, and whether it is the likeliest: two tensors of [n].

    Args:
        causal: a causal language model of transformers.
        packed: from `pack`.
        cache: keys and values of the prefix that `pack` left out.

    Only the outputs that predict a target meet the vocabulary, each once, and in slices: all of it at once would dwarf
    the model.
    """
    hidden = _outputs(causal, packed, cache)
    # Continuations of one context share the output that predicts their first tokens.
    outputs, predictor = torch.unique(packed.rows * packed.ids.shape[1] + packed.columns, return_inverse=True)
    order = predictor.argsort(stable=True)
    logprobs, greedy = [], []
    for start in range(0, len(outputs), SLICE):
        logits = vocabulary_logits(causal, hidden[outputs[start : start + SLICE]])
        mine = order[(predictor[order] >= start) & (predictor[order] < start + SLICE)]
        which, targets = predictor[mine] - start, packed.targets[mine]
        logprobs.append(logits[which, targets] - torch.logsumexp(logits, -1)[which])
        greedy.append(logits.detach().argmax(-1)[which] == targets)
    back = order.argsort()
    return torch.cat(logprobs)[back], torch.cat(greedy)[back]


def trained_logprobs(causal: Any, packed: PackedRows) -> torch.Tensor:
    """Log-probability (nats) of each target token, [n]: `token_logprobs` for a backward pass, in less memory."""
    embedding = causal.get_output_embeddings()
    config = causal.config.get_text_config()
    scaled = getattr(config, "final_logit_softcapping", None) or _logit_scale(config) != 1.0
    if scaled or type(embedding) is not torch.nn.Linear or embedding.bias is not None:
        return token_logprobs(causal, packed)[0]
    states = _outputs(causal, packed)[packed.rows * packed.ids.shape[1] + packed.columns]
    return target_logprobs(states, embedding.weight, packed.targets)


def _outputs(causal: Any, packed: PackedRows, cache: Any = None) -> torch.Tensor:
    """The last layer's outputs for every token of every row, [rows x width, hidden]."""
    model = body_of(causal)
    with taking(model, packed.mask) as mask:
        outputs: torch.Tensor = model(
            input_ids=packed.ids,
            attention_mask=mask,
            position_ids=packed.positions,
            **going_on_from(model, cache),
        ).last_hidden_state
    return outputs.flatten(0, 1)


def going_on_from(model: Any, cache: DynamicCache | None) -> dict[str, Any]:
    """The arguments with which a model goes on from `cache` and adds to it, by the name that its transformers has."""
    if cache is None:
        return {"use_cache": False}
    return {_cache_name(model.__class__): cache, "use_cache": True}


@functools.cache
def _cache_name(kind: Any) -> str:
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"


def vocabulary_logits(causal: Any, states: torch.Tensor) -> torch.Tensor:
    """The logits (float32, [n, vocabulary]) of the last layer's outputs [n, hidden]."""
    config = causal.config.get_text_config()
    softcap = getattr(config, "final_logit_softcapping", None)
    logits = causal.get_output_embeddings()(states).float()
    logits = logits if (scale := _logit_scale(config)) == 1.0 else logits * scale
    return torch.tanh(logits / softcap) * softcap if softcap else logits


def _logit_scale(config: Any) -> float:
    """What the logits are multiplied by: Cohere's, Granite's and MiniCPM's configurations each have a name for it."""
    if base := getattr(config, "dim_model_base", None):
        return float(base / config.hidden_size)
    return float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)


def body_of(causal: Any) -> Any:
    """The model below the output embedding: Llama 4's name for it is not the one that its class declares."""
    return causal.model if causal.base_model is causal else causal.base_model


class SharedPrefix:
    """The keys and values of the last shared prefix, computed once and seen by every row of a batch, not copied.

    Args:
        causal: a causal language model of transformers.
    """

    def __init__(self, causal: Any) -> None:
        self.causal = causal
        self.tokens: tuple[int, ...] = ()
        self.layers: list[tuple[torch.Tensor, torch.Tensor]] = []

    def cache(self, tokens: tuple[int, ...], rows: int) -> DynamicCache | None:
        """The cache for so many rows behind the prefix `tokens`; None without a prefix."""
        if not tokens:
            return None
        if tokens != self.tokens:
            ids = torch.tensor([tokens], device=next(self.causal.parameters()).device)
            cache = DynamicCache()
            body_of(self.causal)(input_ids=ids, **going_on_from(body_of(self.causal), cache))
            self.tokens, self.layers = tokens, [(layer.keys, layer.values) for layer in cache.layers]
        repeated = DynamicCache()
        for keys, values in self.layers:
            layer = DynamicLayer()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = (states.expand(rows, -1, -1, -1) for states in (keys, values))
            repeated.layers.append(layer)
        return repeated


def takes_packed_rows(model: Any, tokens: Sequence[int] = (), beyond: int = 0) -> bool:
    """Whether the model answers alike packed and plain, found by trying it on small made-up rows.

    Args:
        model: a causal language model, perhaps with an adapter on it.
        tokens: what must be in the rows, since something happens at them.
        beyond: so many tokens more are in front of each row. What is found holds for rows of up to
            `lapd.packed.regimes.reach` tokens; for longer ones it is tried beyond the windows (`takes_long_rows`).
    """
    causal = causal_of(model)
    config = causal.config.get_text_config()
    prefix = (*(5 + k * k % 37 for k in range(beyond)), *range(5, 13))
    rows = [
        Row((*prefix, 14, 15, 16), [(21, 22, 23, 24), (21, 22, 33), (31, 32, 33)]),
        Row((*prefix, 17, *(token for token in tokens if token < config.vocab_size), 18), []),
    ]
    rows[1].continuations += [(41, 42), (21,)]
    device = next(causal.parameters()).device
    try:
        with torch.inference_mode():
            packed = pack(rows, device, causal.dtype, len(prefix), config)
            ours, _ = token_logprobs(causal, packed, SharedPrefix(causal).cache(prefix, len(rows)))
            theirs = torch.cat([_plain_logprobs(model, row.context, c) for row in rows for c in row.continuations])
            return _agree(ours, theirs, causal.dtype)
    except REFUSALS:
        return False


def takes_long_rows(model: Any) -> bool:
    """Whether a model that takes packed rows takes those beyond the windows of its attention, too: found by trying."""
    beyond = windowed(causal_of(model).config.get_text_config())
    return beyond is not None and takes_packed_rows(model, beyond=beyond)


def takes_padded_rows(model: Any) -> bool:
    """Whether a row's numbers do not depend on the longer one that it is padded for, found by trying.

    On the right as lm-eval pads what is scored, without a mask, and on the left as it pads what is written behind.
    """
    short, long = (5, 6, 7), tuple(range(8, 24))
    device, pad = next(model.parameters()).device, [5] * (len(long) - len(short))
    masked = torch.tensor([[0] * len(pad) + [1] * len(short), [1] * len(long)], device=device)
    known = inspect.signature(causal_of(model).forward).parameters
    positions = {"position_ids": (masked.cumsum(-1) - 1).clamp(min=0)} if "position_ids" in known else {}
    try:
        with torch.inference_mode():
            alone = model(input_ids=torch.tensor([short], device=device), use_cache=False).logits[0, -1].float()
            right = model(input_ids=torch.tensor([[*short, *pad], long], device=device), use_cache=False).logits
            ids = torch.tensor([[*pad, *short], long], device=device)
            left = model(input_ids=ids, attention_mask=masked, **positions, use_cache=False).logits
    except REFUSALS:
        return False
    before = right.shape[1] - len(long)  # an adapter may put a prompt in front
    found = torch.stack([right[0, before + len(short) - 1], left[0, -1]]).float().log_softmax(-1)
    return _agree(found, alone.log_softmax(-1), model.dtype)


def _agree(ours: torch.Tensor, theirs: torch.Tensor, dtype: torch.dtype) -> bool:
    return bool((ours - theirs).abs().max() <= TOLERANCE.get(dtype, 1e-3))


def _plain_logprobs(model: Any, context: tuple[int, ...], continuation: tuple[int, ...]) -> torch.Tensor:
    """Log-probability (nats) of each token of a continuation, computed as anybody would."""
    ids = torch.tensor([context + continuation], device=next(model.parameters()).device)
    logits = model(input_ids=ids, use_cache=False).logits[0, -len(continuation) - 1 : -1].float()
    return logits.log_softmax(-1).gather(-1, ids[0, -len(continuation) :, None])[:, 0]
