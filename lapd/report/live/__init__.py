"""A run's page served while its cells are running."""
