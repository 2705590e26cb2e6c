"""What is to be evaluated: arms, own pairs, served models, estimates and provenance."""
