"""Rates that others have published, and what can be said of them: unpaired, since nothing is known item by item."""
