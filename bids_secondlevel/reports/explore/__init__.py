"""A page with the cortex of a participant in three dimensions."""
