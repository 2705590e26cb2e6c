"""What answers: models loaded here or served, as lm-eval sees them, and the engine that runs cells on one."""
