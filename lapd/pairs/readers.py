"""Reading preference pairs in the forms that people have, into LAPD's own.

The form is recognised from the fields of the rows; where it cannot be, the caller names the fields.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lapd.files.rows import read_records
from lapd.pairs.forms import Fields, Row
from lapd.pairs.pair import PreferencePair, make_pair, rows_of

__all__ = ["Fields", "Row", "read_any_pairs", "read_rows"]


def read_any_pairs(
    path_or_id: str | Path, prompt: str | None = None, chosen: str | None = None, rejected: str | None = None
) -> list[PreferencePair]:
    """The preference pairs of a file, a folder or a data set on the Hugging Face Hub, in order.

    Args:
        path_or_id: a .jsonl, .json, .csv, .tsv or .parquet file; a folder of such files or one that `save_to_disk`
            wrote; or a data set's id.
        prompt: the field with the prompt, where it cannot be recognised.
        chosen: the field with the wanted response; together with `rejected`.
        rejected: the field with the other one.

    Raises:
        DataError: it cannot be read, its form cannot be recognised, it is empty, or a row is no pair.
        UsageError: a field was named that there is not, or only one of the responses'.
    """
    return [make_pair(path_or_id, row) for row in read_rows(path_or_id, Fields(prompt, chosen, rejected))]


def read_rows(
    path_or_id: str | Path, fields: Fields | None = None, refused: list[tuple[int, Any, str]] | None = None
) -> list[Row]:
    """What `read_any_pairs` reads, with the faults that `lapd data check` counts and `lapd data fix` mends.

    Args:
        path_or_id: as `read_any_pairs` takes it.
        fields: which fields hold a pair.
        refused: gets the number, the record and the reason of each record that is no pair, instead of an error.

    Raises:
        DataError, UsageError: as `read_any_pairs`; but faulty texts and identical responses are let through.
    """
    return list(rows_of(path_or_id, read_records(path_or_id), fields, refused))
