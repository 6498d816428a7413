"""Rows of all participants become tests, comparisons, reliability and models. Pure."""
