"""What Prometheus and Loki know of all hosts, for pages that can show more than this one."""
