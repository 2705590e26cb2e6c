"""Chats as a template has rendered them: is a prompt's every word there, and which date is."""

from __future__ import annotations

import re

CLOCK = "strftime_now"
"""What a chat template calls for the date: today's, by transformers' own."""


def words_of(text: str) -> str:
    """The letters and digits of a text: templates trim it, break its lines anew and escape its quotation marks."""
    return re.sub(r"\W+", "", text) or text.strip()
