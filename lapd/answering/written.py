"""An answer's text, and what is known of it beside: it goes through lm-eval as a text."""

from __future__ import annotations

from collections.abc import Sequence


class Written(str):
    """An answer's text, and what is known of it beside.

    Attributes:
        finish_reason: why it ended, as servers say it: "stop", "length" ...; "" where that is not known.
        without: settings that the server refused, and was then asked without; with temperature among them the answer
            is sampled, however greedy it was to be.
    """

    finish_reason: str
    without: tuple[str, ...]

    def __new__(cls, text: str, finish_reason: str = "", without: Sequence[str] = ()) -> Written:
        made = super().__new__(cls, text)
        made.finish_reason, made.without = finish_reason, tuple(without)
        return made
