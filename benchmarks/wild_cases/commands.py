"""The command line, names and surroundings."""

from __future__ import annotations
