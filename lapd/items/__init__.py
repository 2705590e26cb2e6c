"""Every item of a run, its arms side by side: what was answered, what flipped, and all of it packed for a page."""
