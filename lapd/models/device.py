"""Where a model is put: a CUDA GPU where there is one, else Apple's (`mps`, untested as yet), else the CPU."""

from __future__ import annotations


def best_device() -> str:
    """The device that is taken where none is named, as torch calls it."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
