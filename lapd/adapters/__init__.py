"""Adapters: finding, switching, merging and baking them; their cards, kinds and personas."""
