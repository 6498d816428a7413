"""Statistical models: by a formula, or by a BIDS Stats Model."""
