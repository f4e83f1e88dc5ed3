"""Measurements of Tally on real services."""
