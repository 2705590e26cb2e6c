"""Text for terminals and files that cannot take all of it: what an encoding lacks is written in letters that it has."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

PLAIN = {
    "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2026": "...",  # minus, dashes, ellipsis
    "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'",  # quotation marks
    "×": "x", "±": "+/-", "→": "->", "≤": "<=", "≥": ">=", "≈": "~", "•": "*", "β": "beta",
    "│": "|", "─": "-", "├": "|", "└": "`",
}  # fmt: skip
"""What stands for a character where there is none, beside its letter without an accent."""


def adapt_streams() -> None:
    """Let standard output and error take every text, whatever their encoding: latin-1, cp949, gbk, ASCII ..."""
    codecs.register_error("lapd.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lapd.plain")


def takes_every_text() -> bool:
    """Whether standard output's encoding has every character."""
    try:
        return codecs.lookup(sys.stdout.encoding or "utf-8").name.startswith("utf")
    except LookupError:
        return False


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What is written in place of the characters that an encoding lacks; an error handler of `codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter) or _letter(letter) for letter in text), error.end


def _letter(character: str) -> str:
    """The character without its accent, if that is ASCII; a question mark for any other."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", character) if ord(c) < 128)
    return bare or "?"
