"""Metric cells, their registry, and the delivery ledger."""
