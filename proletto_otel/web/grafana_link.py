"""From a page to the dashboard in Grafana that shows more of the same (`PROLETTO_GRAFANA_URL`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proletto_otel.core import grafana

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked

OF_PAGE = {
    "overview": "service", "errors": "errors", "error": "errors", "requests": "requests",
    "endpoint": "requests", "request": "errors", "logs": "errors", "health": "health",
    "alerts": "service", "system": "system", "telemetry": "pipeline",
}  # fmt: skip
"""Which dashboard, by the name of the page."""
AROUND_S = 900.0
"""Seconds before and after a request that its link shows."""


@dataclass(frozen=True, slots=True)
class GrafanaLink:
    """One link."""

    address: str
    label: str
    """What the dashboard is called."""


def grafana_link(asked: Asked, page: str, data: Mapping[str, Any]) -> GrafanaLink | None:
    """The link of the page of this name; None where there is no Grafana, or no such dashboard."""
    config, board = asked.site.config, OF_PAGE.get(page)
    if not config.grafana_url or board is None:
        return None
    variables = {"service": config.service_name, "environment": config.environment}
    at = None
    if page == "request":
        variables["request_id"] = data["request_id"]
        at = data["began"] or (data["timing"] or {}).get("at")
    elif page == "error" and data["occurrence"] is not None:
        variables["request_id"], at = data["occurrence"].request_id, data["occurrence"].at
    elif page == "logs":
        variables["request_id"] = asked.query.get("identifier", "")
        variables["search"] = asked.query.get("text", "")
    chosen = asked.range
    start, end = f"now-{round(chosen.seconds)}s", "now"
    if at is not None:
        start, end = _milliseconds(at - AROUND_S), _milliseconds(at + AROUND_S)
    elif chosen.is_over:
        start, end = _milliseconds(chosen.start), _milliseconds(chosen.end)
    address = grafana.dashboard(config.grafana_url, board, variables, start, end)
    return GrafanaLink(address, grafana.BOARDS[board])


def _milliseconds(at: float) -> str:
    return str(round(at * 1000))
