"""The words: errors, settings, the rule of an ROI, values. Imports no other part of the package."""
