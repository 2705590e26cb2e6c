"""Designs: what several arms of a run tell together, beyond each one against its baseline."""
