"""Links into Grafana's Explore, as paths below Grafana's own address."""

from __future__ import annotations

import json
from urllib.parse import quote

_MARK = "SERVICENAME"


def logs(service: str, since: str = "now-1h") -> str:
    """The errors and warnings of a service; *service* may be a template."""
    level = "ERROR|CRITICAL|FATAL|WARN|WARNING"
    query = f'{{service_name="{_MARK}"}} | severity_text=~"{level}"'
    return _path("loki", {"expr": query}, service, since)


def traces(service: str, since: str = "now-1h") -> str:
    """The failed traces of a service; *service* may be a template."""
    query = f'{{resource.service.name="{_MARK}" && status=error}} with (most_recent=true)'
    return _path("tempo", {"query": query, "queryType": "traceql"}, service, since)


def _path(store: str, query: dict[str, str], service: str, since: str) -> str:
    source = {"type": store, "uid": store}
    pane = {
        "datasource": store,
        "queries": [{"refId": "A", "datasource": source, **query}],
        "range": {"from": since, "to": "now"},
    }
    panes = quote(json.dumps({"a": pane}, separators=(",", ":")), safe="")
    # A template must stay one for Grafana, so it is put in after quoting.
    return f"/explore?schemaVersion=1&orgId=1&panes={panes}".replace(_MARK, service)
