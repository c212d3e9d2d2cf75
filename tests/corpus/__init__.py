"""Texts with secrets and texts without, for every sink's tests."""
