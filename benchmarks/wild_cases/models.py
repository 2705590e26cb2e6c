"""Base models and adapters of every kind."""

from __future__ import annotations
