"""The words: errors, settings, the rule of a ROI, values. Imports nothing else of this package."""
