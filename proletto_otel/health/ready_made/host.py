"""Ready-made checks of the machine and its network: disk space, a TCP port, the collector."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from typing import Any

from proletto_otel.core.errors import ConfigError
from proletto_otel.health.results import DEGRADED, HEALTHY, UNHEALTHY, HealthResult


def disk_space(
    path: str | os.PathLike[str] = "/", *, degraded_below: float = 10.0,
    unhealthy_below: float = 3.0,
) -> Callable[[], HealthResult]:  # fmt: skip
    """Check the free space of the file system of *path*, in percent of what users may fill.

    Raises:
        ConfigError: when the two limits do not fit 0 < unhealthy_below <= degraded_below < 100.
    """
    if not 0 < unhealthy_below <= degraded_below < 100:
        raise ConfigError.of(
            "unhealthy_below", unhealthy_below, "0 < unhealthy_below <= degraded_below < 100"
        )

    def check() -> HealthResult:
        usage = shutil.disk_usage(path)
        # As `df` counts: blocks reserved for root are free to no service.
        free = 100 * usage.free / max(usage.used + usage.free, 1)
        message = f"{free:.1f} % free ({usage.free / 1e9:.1f} GB)"
        if free < unhealthy_below:
            return HealthResult(UNHEALTHY, message)
        return HealthResult(DEGRADED if free < degraded_below else HEALTHY, message)

    return check


def tcp_port(host: str, port: int, *, timeout: float = 2.0) -> Callable[[], None]:
    """Check that something accepts connections on *host*:*port* within *timeout* seconds.

    Raises:
        ConfigError: for an empty host or a port outside 1 to 65535.
    """
    if not host or not isinstance(host, str):
        raise ConfigError.of("host", host, "a host name or address")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ConfigError.of("port", port, "a whole number from 1 to 65535")

    def check() -> None:
        socket.create_connection((host, port), timeout).close()

    return check


def collector(takes_data: Callable[[], Any]) -> Callable[[], Any]:
    """Check that the collector takes our data, as the exporter of this process sees it.

    Args:
        takes_data: returns what a check may return; the exporter's own view, no request is sent.
    """
    if not callable(takes_data):
        raise ConfigError.of("takes_data", takes_data, "a function without arguments")
    return takes_data
