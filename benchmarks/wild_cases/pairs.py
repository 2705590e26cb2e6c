"""Files of preference pairs in the forms that people have."""

from __future__ import annotations
