"""A run at a glance: sentences, the forest, the matrix, doses."""
