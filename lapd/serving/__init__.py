"""Models of a study handed to an engine that serves them, and the note by which others find it."""
