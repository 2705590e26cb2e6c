"""The benchmark: a task for LAPD and for a stock lm_eval."""
