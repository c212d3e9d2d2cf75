"""Health checks, their states and what probes are told."""
