"""The record of an evaluation: cells, the store, the journal, verdicts, and whether arms are alike."""
