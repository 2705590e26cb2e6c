"""The report of a run: one HTML page, the console's table, and the pictures."""
