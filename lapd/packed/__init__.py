"""Packed rows: texts that begin alike computed once, their layout, the forward pass, the vocabulary."""
