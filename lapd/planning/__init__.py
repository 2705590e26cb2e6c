"""What a plan of items and trainings would let one see, by what a run measured or by what one supposes."""
