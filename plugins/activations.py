"""What a base's layers give over a response's tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lapd.errors import ModelError
from lapd.packed.layout import Row


def decoder_layers(causal: Any) -> dict[str, Any]:
    """A model's decoder layers, in order, by their names in the model without its output layer ("layers.0" ...).

    Raises:
        ModelError: it has no list of layers such as transformers' decoders have.
    """
    number = causal.config.get_text_config().num_hidden_layers
    for name, module in causal.base_model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == number:
            return {f"{name}.{index}": layer for index, layer in enumerate(module)}
    what = f"{type(causal).__name__} has no list of {number} decoder layers."
    raise ModelError(what, "Its residual stream cannot be steered: train an adapter with --trainer trl.")


def response_means(causal: Any, layers: Sequence[Any], row: Row) -> list[torch.Tensor]:
    """For each of a row's responses the mean of every layer's output over its tokens, [layers, hidden] in float32.

    The tokens are the response's own, from its first to what ends its turn; each is computed behind the prompt alone.

    Args:
        causal: bare.
        layers: from `decoder_layers`.
        row: a prompt and its responses.
    """
    means = []
    for response in row.continuations:
        ids = torch.tensor([[*row.context, *response]], device=causal.device)
        with _listening(layers) as heard:
            causal.base_model(input_ids=ids, use_cache=False)
        means.append(torch.stack([output[0, len(row.context) :].float().mean(0).cpu() for output in heard]))
    return means


@contextmanager
def _listening(layers: Sequence[Any]) -> Iterator[list[torch.Tensor]]:
    """The layers' outputs ([1, tokens, hidden]) of the forward pass inside, in order."""
    heard: list[torch.Tensor] = []

    def hook(module: Any, inputs: Any, output: Any) -> None:
        heard.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield heard
    finally:
        for one in hooks:
            one.remove()
