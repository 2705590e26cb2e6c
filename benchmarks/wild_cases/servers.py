"""Endpoints with their quirks."""

from __future__ import annotations
