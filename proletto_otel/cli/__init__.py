"""Commands of python -m proletto_otel."""
