"""A task whose documents begin with turns of a conversation, as real turns of the model's chat template.

lm-eval makes one user's turn of a document, behind examples that are the same for all documents. Here each document has
`turns` of its own, user and assistant in turn, before its prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lm_eval.api.task import ConfigurableTask

BETWEEN = "\n\n"
"""Between turns, where no chat template is applied."""


class Conversation(ConfigurableTask):
    """A task of lm-eval's with a document's `turns` before its prompt; it takes no examples."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

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
        """The system prompt, the document's turns and its prompt, rendered; as paragraphs without a chat template."""
        said = [*doc["turns"], self.doc_to_text(doc)]
        system = [system_instruction] if system_instruction else []
        if not (apply_chat_template and chat_template):
            return BETWEEN.join([*system, *said])
        messages = [{"role": "system", "content": text} for text in system]
        messages += [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
        return chat_template(messages, add_generation_prompt=True)
