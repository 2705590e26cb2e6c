"""A run for other programs: as pandas DataFrames, tables of a paper, and the files of lm-eval."""
