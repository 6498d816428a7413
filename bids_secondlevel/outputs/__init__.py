"""What leaves for machines: names, tables, masks, provenance."""
