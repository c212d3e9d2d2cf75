"""Alerts as log records."""
