"""lm-eval's `hf` model where it would stumble: adapters at tied outputs, odd tokenizers, models that see padding."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from lapd.errors import ModelError
from lapd.models.loading import check_tokens, embeddings
from lapd.packed.forward import causal_of, takes_padded_rows
from lapd.packed.regimes import turns_with_the_batch


class CarefulHF(HFLM):
    """lm-eval's `hf` model, which gives the same numbers wherever that one gives any.

    Args:
        pretrained: a loaded causal language model, or whatever `HFLM` takes.
        kwargs: passed to `HFLM`.
    """

    def __init__(self, pretrained: Any, **kwargs: Any) -> None:
        self._pads: bool | None = None
        # `HFLM` would tie the weights again, as they are since loading: PEFT's layers at a tied output take no weight.
        with _left_as_tied(pretrained):
            super().__init__(pretrained=pretrained, **kwargs)

    def _create_model(self, *args: Any, **kwargs: Any) -> None:
        super()._create_model(*args, **kwargs)
        self._model.tie_weights = _nothing

    def use_model(self, model: Any) -> None:
        """Answer with that model from now on: the same one, with another adapter or in another wrapper of PEFT's."""
        self._model, self._pads = model, None

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text that has no context: the beginning of a text, else its end, else padding."""
        known = (self.custom_prefix_token_id, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        return int(next((token for token in known if token is not None), self.tokenizer.pad_token_id))

    def tok_encode(self, string: str, *args: Any, **kwargs: Any) -> list[int]:
        """Token ids of a text, each of which the model knows."""
        ids: list[int] = super().tok_encode(string, *args, **kwargs)
        check_tokens(ids, self.tokenizer, embeddings(self.model))
        return ids

    def tok_batch_encode(self, strings: list[str], *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids of texts, padded, each of which the model knows; and their mask."""
        ids, mask = super().tok_batch_encode(strings, *args, **kwargs)
        check_tokens([int(ids.max())] if ids.numel() else [], self.tokenizer, embeddings(self.model))
        return ids, mask

    def check_end(self) -> None:
        """Refuse to write with a tokenizer that has no token to end a text with.

        Raises:
            ModelError: it has none.
        """
        if self.eot_token_id is None:
            hint = "Name its eos_token in tokenizer_config.json."
            raise ModelError("The tokenizer has no end-of-text token: no answer would ever end.", hint)

    @contextmanager
    def alone_where_padding_shows(self, longest: int) -> Iterator[None]:
        """Meanwhile, requests go one by one where padding for the longest (so many tokens) would change their numbers.

        Recurrent models take padding for text, and some position embeddings are made for a batch's longest row.
        """
        if self._pads is None:
            self._pads = takes_padded_rows(self.model)
        size: Any = self.batch_size_per_gpu  # type: ignore[has-type]
        if not self._pads or turns_with_the_batch(causal_of(self.model).config.get_text_config(), longest):
            self.batch_size_per_gpu = 1
        try:
            yield
        finally:
            self.batch_size_per_gpu = size


@contextmanager
def _left_as_tied(model: Any) -> Iterator[None]:
    """Meanwhile, tying a model's weights does nothing; a model's name is no model yet."""
    if isinstance(model, str):
        yield
        return
    model.tie_weights = _nothing
    try:
        yield
    finally:
        del model.tie_weights


def _nothing(*_: Any, **__: Any) -> None:
    pass
