"""Documents and scores of pairs of one's own: does the model find the chosen response likelier than the rejected one?

`log_odds` is the log-likelihood of the chosen response less that of the rejected one, in nats: what an adapter shifts.
`prefer` is 100 where the chosen response is the likelier one per token, 50 where they tie: the raw preference.
"""

from __future__ import annotations

import json
from typing import Any

from lapd.tasks.common import length_in_tokens, preference, test_split
from lapd.tasks.conversations import Conversation, Message

from lapd.errors import UsageError
from lapd.files.whole import digest_json
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


class OwnPairs(Conversation):
    """Asks a pair behind its whole conversation."""

    ending = "\n\n"
    documents = "the pairs"

    def messages(self, doc: dict[str, Any]) -> list[Message]:
        found: list[Message] = json.loads(doc["messages"])
        return found
