"""Grafana dashboards as code: classic JSON, one file per dashboard."""
