"""Which servers know all hosts, made of the settings with the first page that asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proletto_otel.export.endpoint import query_endpoint
from proletto_otel.web.all_hosts.backend import Backend

if TYPE_CHECKING:
    from proletto_otel.core.config import Config

PROMETHEUS, LOKI = "prometheus", "loki"
NAMES = {PROMETHEUS: "Prometheus", LOKI: "Loki"}
"""What people call them."""


def servers(config: Config) -> Mapping[str, Backend]:
    """The servers that are configured, by `PROMETHEUS` and `LOKI`."""
    settings = {
        PROMETHEUS: (config.prometheus_url, config.prometheus_headers),
        LOKI: (config.loki_url, config.loki_headers),
    }
    return {
        name: Backend(NAMES[name], f"PROLETTO_{name.upper()}", query_endpoint(url, headers))
        for name, (url, headers) in settings.items()
        if url
    }
