"""The task's documents as conversations: each has `turns` of its own, user and assistant in turn, before its prompt."""

from __future__ import annotations

from typing import Any

from lapd.tasks import conversations


class Conversation(conversations.Conversation):
    """Asks a situation behind the turns of its context."""

    def messages(self, doc: dict[str, Any]) -> list[conversations.Message]:
        said = [*doc["turns"], self.doc_to_text(doc)]
        return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
