"""Health checks for what most services depend on."""
