"""The tests that all analyses of the group share."""
