"""What is concluded from results, and shown."""

from __future__ import annotations
