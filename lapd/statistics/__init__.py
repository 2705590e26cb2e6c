"""The statistics: paired differences, exact tests, shares and their intervals. Numbers in, numbers out."""
