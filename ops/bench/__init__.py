"""Measurements of the product on real servers."""
