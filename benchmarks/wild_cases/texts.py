"""What models write, and what is read out of it."""

from __future__ import annotations
