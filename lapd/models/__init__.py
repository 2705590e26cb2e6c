"""Base models: finding, loading and telling them apart; their chat templates and tokenizers."""

from lapd.files.quiet import quiet_libraries
from lapd.models.base import BaseModel, resolve_base
from lapd.models.loading import load_base, load_tokenizer

__all__ = ["BaseModel", "load_base", "load_tokenizer", "quiet_libraries", "resolve_base"]
