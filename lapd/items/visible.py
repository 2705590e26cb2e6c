"""Text of any origin as a page can show it: what has no look of its own, or turns other text round, is made visible."""

from __future__ import annotations

import re

_UNSEEN = re.compile(r"\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

LONGEST_NAME = 200
"""Characters of a name that are shown."""


def visible(text: str) -> str:
    """The text with what has no look of its own visible.

    A control character, or a mark that embeds, isolates or overrides a direction, has its number, such as "[U+202E]";
    half a character is U+FFFD; a line ends in one line feed. Tabs and line feeds stay.
    """
    return _UNSEEN.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    if found[0] == "\r\n":
        return "\n"
    number = ord(found[0])
    return "\ufffd" if 0xD800 <= number < 0xE000 else f"[U+{number:04X}]"


def named(text: str) -> str:
    """A name as a page shows it: visible, and the rest of one that is no name for people left out."""
    return visible(text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…")
