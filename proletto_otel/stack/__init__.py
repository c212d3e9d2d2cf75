"""Pure generators from thresholds and contract to Grafana and Prometheus files."""
