"""Health checks, their states and the answers to probes."""
