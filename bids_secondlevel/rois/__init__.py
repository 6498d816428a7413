"""Define ROIs by retinotopy and localizer, and measure maps in them. Pure."""
