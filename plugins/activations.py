"""What a base's layers give over a response's tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lapd.errors import ModelError

Tokens = tuple[int, ...]


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


def response_mean(causal: Any, prompt: Tokens, response: Tokens) -> torch.Tensor:
    """The mean of every decoder layer's output over a response's tokens, [layers, hidden] in float32.

    Args:
        causal: bare.
        prompt: all that is before the response.
        response: from its first token to what ends its turn.
    """
    ids = torch.tensor([[*prompt, *response]], device=causal.device)
    with torch.inference_mode(), _listening(list(decoder_layers(causal).values())) as heard:
        causal.base_model(input_ids=ids, use_cache=False)
    return torch.stack([output[0, len(prompt) :].float().mean(0).cpu() for output in heard])


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
