"""Retinotopy and localizer make regions of interest; maps are measured in them. Pure."""
