"""Tasks, their documents, and the cells that are made of them."""

from __future__ import annotations
