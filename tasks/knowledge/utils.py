"""Documents of LAPD's questions on common knowledge."""

from __future__ import annotations

from typing import Any

from lapd.data import knowledge_items
from lapd.tasks.common import test_split


def documents(**_: Any) -> dict[str, Any]:
    """Every question; the topics take turns, so that `--limit` takes of each."""
    return test_split(knowledge_items())
