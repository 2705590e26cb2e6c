"""The plan and the record of an evaluation: cells, the store, verdicts, provenance, estimates."""
