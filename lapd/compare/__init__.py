"""Comparing: arms on the same items, and how far a questionnaire's answers can be trusted."""
