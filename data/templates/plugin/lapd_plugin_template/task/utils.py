"""The benchmark's documents and scores."""

from typing import Any

from datasets import Dataset

from lapd_plugin_template.items import items


def documents(**_: Any) -> dict[str, Dataset]:
    """One document an item, with the response of each pole as its choices; `score` gets it together with the answer.

    lm-eval calls this with the task's metadata and the model's arguments, of which nothing is needed here.
    """
    asked = [{"id": i["id"], "prompt": i["prompt"], "choices": [i["J"], i["P"]]} for i in items("heldout")]
    return {"test": Dataset.from_list(asked)}


def score(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, float]:
    """The metrics of one document, from the log-likelihood (nats) of each of its choices.

    `log_odds` is how much likelier the first is; `prefer` is 100 points where it is the likelier one per character.
    """
    (first, _), (second, _) = results
    longer, shorter = (len(choice) for choice in doc["choices"])
    return {"log_odds": first - second, "prefer": 100.0 * (first / longer > second / shorter)}
