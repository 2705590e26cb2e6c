"""Keeps the libraries off the terminal while LAPD shows its own progress."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep the libraries' own progress bars and notices off the terminal while LAPD shows its own."""
    from datasets import disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    talkative = ("lm_eval", "trl", "peft", "accelerate", "datasets", "huggingface_hub")
    loggers = [logging.getLogger(name) for name in talkative]
    levels = [logger.level for logger in loggers]
    verbosity = transformers_logging.get_verbosity()
    debugging = bool(os.environ.get("LAPD_DEBUG"))
    if not debugging:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()
        enable_progress_bars()
