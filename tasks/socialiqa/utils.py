"""Documents of SocialIQA, from its publisher's files, and of LAPD's small set in the same form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lapd.data import social_items
from lapd.tasks.common import publisher_folder, test_split

from lapd.errors import DataError
from lapd.files.whole import cache_dir, read_jsonl


def documents(data_dir: str | None = None, **_: Any) -> dict[str, Any]:
    """The dev set in AI2's own files: from `data_dir`/socialiqa, else fetched once, checked against their digests.

    Raises:
        DataError: they can be had neither from there nor from a network, or do not match.
    """
    folder = publisher_folder("socialiqa", data_dir)
    if folder is None:
        from lapd.files.fetch import fetch

        folder = fetch("socialiqa", cache_dir() / "data")
    return test_split(read_ai2(folder))


def read_ai2(folder: Path) -> list[dict[str, Any]]:
    """The items of AI2's `dev.jsonl` with the labels ("1" to "3") of `dev-labels.lst`."""
    rows = [row for _, row in read_jsonl(folder / "dev.jsonl")]
    try:
        labels = (folder / "dev-labels.lst").read_text().split()
    except FileNotFoundError:
        raise DataError(folder / "dev-labels.lst", "there is no such file.") from None
    if len(labels) != len(rows) or not set(labels) <= {"1", "2", "3"}:
        raise DataError(
            folder / "dev-labels.lst", f"{len(labels)} labels for {len(rows)} items, or one that is not 1, 2 or 3."
        )
    return [{"id": f"dev-{n}", **row, "label": label} for n, (row, label) in enumerate(zip(rows, labels, strict=True))]


def mini_documents(**_: Any) -> dict[str, Any]:
    """The shipped items in SocialIQA's form."""
    return test_split(social_items())
