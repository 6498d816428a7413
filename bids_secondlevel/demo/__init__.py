"""A simulated study, end to end."""
