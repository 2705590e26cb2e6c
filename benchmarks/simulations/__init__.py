"""What `benchmarks/statistics.py` simulates: data whose truth is known, and how often LAPD's statistics find it."""
