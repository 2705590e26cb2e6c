"""Questionnaires: reading one, and the psychometrics of its answers."""
