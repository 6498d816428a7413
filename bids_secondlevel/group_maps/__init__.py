"""Maps of the group: those of every participant on a common surface, tested at every vertex."""
