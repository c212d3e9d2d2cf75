"""Thresholds, their evaluation, and who is told."""
