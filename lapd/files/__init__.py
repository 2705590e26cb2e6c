"""Files: whole or not at all, records and rows, typed YAML, fetching, and progress while that goes on."""
