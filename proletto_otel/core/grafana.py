"""Addresses of a Grafana that has this project's data sources and dashboards."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

from proletto_otel.core.config import Config

BOARDS = {
    "service": "Service overview", "requests": "Requests in depth", "errors": "Errors and logs",
    "system": "System and workers", "health": "Health and alerts",
    "pipeline": "Telemetry pipeline",
}  # fmt: skip
"""What a dashboard is called, by the end of its UID."""
_MARK = "TRACEID"


def trace_link(config: Config) -> str:
    """Link to a trace, with `{trace_id}` in it; empty: there is none."""
    if config.trace_url or not config.grafana_url:
        return config.trace_url
    return trace(config.grafana_url)


def trace(base: str) -> str:
    """The address of a trace, with `{trace_id}` in it; *base* is Grafana's own address."""
    source = {"type": "tempo", "uid": "tempo"}
    # TraceQL that is an ID alone finds that trace, whatever the range
    query = {"refId": "A", "datasource": source, "queryType": "traceql", "query": _MARK}
    pane = {
        "datasource": "tempo", "queries": [query], "range": {"from": "now-1h", "to": "now"},
    }  # fmt: skip
    panes = quote(json.dumps({"a": pane}, separators=(",", ":")), safe="")
    return f"{base.rstrip('/')}/explore?schemaVersion=1&panes={panes}".replace(_MARK, "{trace_id}")


def dashboard(base: str, board: str, variables: dict[str, str], start: str, end: str) -> str:
    """The address of one of `BOARDS`; *start* and *end* as Grafana writes times: `now-1h`."""
    query = {f"var-{name}": value for name, value in variables.items() if value}
    asked = urlencode({**query, "from": start, "to": end})
    return f"{base.rstrip('/')}/d/proletto-{board}?{asked}"
