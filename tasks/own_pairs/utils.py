"""Documents and scores of pairs of one's own: does the model find the chosen response likelier than the rejected one?

`log_odds` is the log-likelihood of the chosen response less that of the rejected one, in nats: what an adapter shifts.
`prefer` is 100 where the chosen response is the likelier one per token, 50 where they tie: the raw preference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lapd.tasks.common import length_in_tokens, preference, test_split
from lm_eval.api.task import ConfigurableTask

from lapd.errors import UsageError
from lapd.files.whole import digest_json
from lapd.models.chat import FOLD
from lapd.pairs.pair import PreferencePair
from lapd.pairs.readers import read_any_pairs

HINT = "Evaluate an adapter that was trained with --dataset, or give --pairs FILE."


def documents(pairs: str | None = None, **model: Any) -> dict[str, Any]:
    """One document a pair.

    Args:
        pairs: a file of pairs, in any form that LAPD reads.
        model: what lm-eval tells of the model.

    Raises:
        UsageError: no file was given.
        DataError: it is in no form that is read.
    """
    if pairs is None:
        raise UsageError("The task own_pairs asks pairs of your own, and there are none.", HINT)
    read = read_any_pairs(pairs)
    lengths = length_in_tokens([text for pair in read for text in (pair.chosen, pair.rejected)], **model)
    return test_split([_document(pair, lengths[2 * n : 2 * n + 2]) for n, pair in enumerate(read)])


def _document(pair: PreferencePair, lengths: list[int]) -> dict[str, Any]:
    return {
        "item": digest_json([pair.messages, pair.chosen, pair.rejected])[:16],
        "messages": json.dumps(pair.messages, ensure_ascii=False),
        "prompt": pair.prompt,
        "choices": [pair.chosen, pair.rejected],
        "lengths": lengths,
    }


def score(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """One pair's metrics from the log-likelihood (nats) of chosen and rejected."""
    chosen, rejected = (r[0] for r in results)
    per_token = chosen / doc["lengths"][0] - rejected / doc["lengths"][1]
    return {"log_odds": chosen - rejected, "prefer": preference(per_token)}


def _words(text: str) -> str:
    return " ".join(text.split())  # templates may trim


class OwnPairs(ConfigurableTask):
    """Asks a pair behind its whole conversation, where lm-eval's own class knows a single turn."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def fewshot_context(
        self,
        doc: dict[str, Any],
        num_fewshot: int,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool = False,
        chat_template: Callable[..., str] | None = None,
        gen_prefix: str | None = None,
    ) -> str:
        """The conversation before the responses; a system prompt that the arm has stands in front of the pair's own.

        Raises:
            UsageError: the chat template has no place for system prompts, which lm-eval would leave out.
        """
        messages = json.loads(doc["messages"])
        if system_instruction:
            own = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
            messages.insert(0, {"role": "system", "content": f"{system_instruction}\n\n{own}".strip()})
        if apply_chat_template and chat_template:
            rendered = chat_template(messages, add_generation_prompt=True)
            if messages[0]["role"] == "system" and _words(messages[0]["content"]) not in _words(rendered):
                raise UsageError("The chat template has no place for the system prompts of the pairs.", FOLD)
            return rendered
        return "\n\n".join(message["content"] for message in messages) + "\n\n"
