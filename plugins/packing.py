"""Which rows of pairs a model takes packed: tried on small rows, and on rows beyond its windows once there are some."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from lapd.packed import forward
from lapd.packed.layout import Row
from lapd.packed.regimes import reach, within_reach


class Packing:
    """What a model was found to take.

    Args:
        model: a bare causal language model.
        checkpointing: whether a training computes its layers anew in the backward pass.
    """

    def __init__(self, model: Any, checkpointing: bool = False) -> None:
        self._model, self._checkpointing = model, checkpointing
        self._takes_short, self._said = forward.takes_packed_rows(model), False

    def takes(self, rows: Sequence[Row]) -> bool:
        """Whether the model computes all of these rows packed as it does plain.

        One line on stderr says where some are too long for that.
        """
        config = self._model.config.get_text_config()
        if not self._takes_short or within_reach(config, rows):
            return self._takes_short
        takes = within_reach(config, rows, windows=False) and self._takes_long
        if not takes and not self._said:
            what = f"{type(self._model).__name__} computes rows of more than {reach(config)} tokens otherwise"
            print(f"{what}: not packing where there are some.", file=sys.stderr)
            self._said = True
        return takes

    @cached_property
    def _takes_long(self) -> bool:
        # In the backward pass, the masks that were put into such layers are gone.
        lost = self._checkpointing and hides_columns(self._model)
        return not lost and forward.takes_long_rows(self._model)


def hides_columns(model: Any) -> bool:
    """Whether layers hide columns themselves (GPT-Neo), so that masks are put into them for as long as a row takes."""
    return "local" in (getattr(model.config.get_text_config(), "attention_layers", None) or ())
