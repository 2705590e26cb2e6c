"""The tiny base model of `lapd.testing` with the embedded model's tokenizer: what is trained where speed matters."""

from __future__ import annotations

from pathlib import Path

from lapd.models.embedded import embedded_folder
from lapd.testing import tiny


def make_tiny_base(folder: Path) -> Path:
    """Write the model into `folder`: two layers of width 64, the same weights each time."""
    return tiny.make_tiny_base(folder, embedded_folder())
