"""Is there anything in the data but the trait? Checks, counting and mending of pairs and corpora."""
