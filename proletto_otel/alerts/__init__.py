"""Thresholds, their evaluation, and when people are notified."""
