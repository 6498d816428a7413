"""A simulated study, from raw data to group results."""
