"""Durations as Prometheus and Grafana write them."""

from __future__ import annotations


def prometheus_duration(seconds: float) -> str:
    """`90` -> `90s`, `300` -> `5m`, `7200` -> `2h`."""
    whole = int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole and whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"
