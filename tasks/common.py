"""What the tasks share: their documents' lengths, data in a publisher's own files, and the arithmetic of choices."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from lapd.errors import DataError
from lapd.models.embedded import EMBEDDED, embedded_folder


def length_in_tokens(
    texts: list[str], tokenizer: str | None = None, pretrained: str | None = None, **_: Any
) -> list[int]:
    """The number of tokens in each text, for likelihoods per token.

    lm-eval hands a task the model's arguments (`pretrained`, `tokenizer`) but no tokenizer. Where it hands over
    neither, as for a model behind an endpoint, lengths are in UTF-8 bytes, as in lm-eval's own `acc_bytes`.
    """
    name = tokenizer or pretrained
    if not isinstance(name, str):
        return [len(text.encode()) for text in texts]
    encode = _tokenizer(name)
    return [len(encode(text, add_special_tokens=False)["input_ids"]) for text in texts]


@cache
def _tokenizer(name: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(embedded_folder() if name.lower() == EMBEDDED else name)


def test_split(documents: list[dict[str, Any]]) -> dict[str, Dataset]:
    """`documents` as the one split that lm-eval evaluates."""
    return {"test": Dataset.from_list(documents)}


def publisher_folder(name: str, data_dir: str | None) -> Path | None:
    """The folder `name` below `data_dir` (default: `$LAPD_DATA_DIR`), or None if no such setting was made.

    Raises:
        DataError: the setting was made, but it has no such folder.
    """
    root = data_dir or os.environ.get("LAPD_DATA_DIR")
    if not root:
        return None
    folder = Path(root).expanduser() / name
    if not folder.is_dir():
        raise DataError(
            folder, "there is no such folder.", hint=f"--data-dir must hold {name}/ in its publisher's own files."
        )
    return folder


def probabilities(loglikelihoods: list[float]) -> np.ndarray:
    """Probabilities of the choices among themselves: the softmax of their log-likelihoods (nats)."""
    shifted = np.exp(np.array(loglikelihoods) - max(loglikelihoods))
    return shifted / shifted.sum()


def preference(difference: float) -> float:
    """100 points if the first is preferred (a difference above 0), 0 if the second, 50 if they tie."""
    return 50.0 * (1 + (difference > 0) - (difference < 0))
