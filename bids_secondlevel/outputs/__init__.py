"""Output for machines: names, tables, masks, provenance."""
