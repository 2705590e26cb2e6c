"""`make_tiny_base` under its former name."""

from lapd.testing import make_tiny_base

__all__ = ["make_tiny_base"]
