"""Tests, comparisons, reliability and models from the rows of all participants. Pure."""
