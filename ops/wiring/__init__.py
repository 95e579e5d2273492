"""Which adapter stands behind each seam; the only place that picks adapters."""
