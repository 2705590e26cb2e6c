"""Judges: choosing one, having it judge, and what its verdicts come to."""

from lapd.judges.choosing import build_options

__all__ = ["build_options"]
