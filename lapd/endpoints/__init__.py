"""Endpoints: where a model answers over HTTP, in which dialect, and asking it."""
