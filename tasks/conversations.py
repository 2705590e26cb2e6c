"""Tasks whose documents are whole conversations, asked as real turns of the model's chat template.

lm-eval makes one user's turn of a document, behind examples that are the same for all documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lm_eval.api.task import ConfigurableTask

from lapd.errors import UsageError
from lapd.models.chat import FOLD

Message = dict[str, str]


class Conversation(ConfigurableTask):
    """A task of lm-eval's that asks each document behind its own `messages`; it takes no examples.

    Attributes:
        ending: what stands behind the last turn where no chat template is applied.
        documents: what they are called in messages.
    """

    ending = ""
    documents = "the conversations"

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def messages(self, doc: dict[str, Any]) -> list[Message]:
        """All that is before a document's responses."""
        raise NotImplementedError

    def fewshot_context(
        self,
        doc: dict[str, Any],
        num_fewshot: int = 0,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool = False,
        chat_template: Callable[..., str] | None = None,
        gen_prefix: str | None = None,
    ) -> str:
        """The conversation, rendered; as paragraphs without a template. The arm's system prompt stands first in it.

        Raises:
            UsageError: the chat template has no place for system prompts, which lm-eval would leave out.
        """
        messages = self.messages(doc)
        if system_instruction:
            own = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
            messages.insert(0, {"role": "system", "content": f"{system_instruction}\n\n{own}".strip()})
        if not (apply_chat_template and chat_template):
            return "\n\n".join(message["content"] for message in messages) + self.ending
        rendered = chat_template(messages, add_generation_prompt=True)
        if messages[0]["role"] == "system" and _words(messages[0]["content"]) not in _words(rendered):
            raise UsageError(f"The chat template has no place for the system prompts of {self.documents}.", FOLD)
        return rendered


def _words(text: str) -> str:
    return " ".join(text.split())  # templates may trim
