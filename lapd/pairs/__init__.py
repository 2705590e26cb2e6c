"""Preference pairs: what one is, reading them, conversations in them, the pairs of control adapters."""

from lapd.pairs.pair import PreferencePair, read_pairs, write_pairs

__all__ = ["PreferencePair", "read_pairs", "write_pairs"]
