"""Telemetry: can these pages be believed? Sinks, queues, losses, store, settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.core.config import SETTINGS
from proletto_otel.core.parsing import Secret
from proletto_otel.web.pages import AdminPage
from proletto_otel.web.pages.completeness import dropped
from proletto_otel.web.pages.workers import workers

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked

CHANGES = 50


def read(asked: Asked) -> Mapping[str, Any]:
    """What telemetry says about itself."""
    status = asked.site.status()
    store = asked.site.store
    return {
        "status": status,
        "records": status.get("records", {}),
        "signals": status.get("exporter", {}).get("signals", {}),
        "sinks": status.get("sinks", {}),
        "findings": status.get("findings", ()),
        "dropped": [
            {"sink": sink, "reason": reason, "count": count}
            for (sink, reason), count in dropped(asked.site).items()
        ],
        "store_bytes": store.size_bytes() if store is not None else None,
        "workers": workers(asked.site),
        "settings": _settings(asked),
        "audit": asked.site.audit.latest(CHANGES),
    }


def _settings(asked: Asked) -> list[dict[str, Any]]:
    """Every setting, what somebody set first; secrets are hidden."""
    config = asked.site.config
    rows = [
        {
            "name": row.name,
            "env": row.env[0],
            "value": _shown(getattr(config, row.name), row.is_secret),
            "is_set": row.name in config.configured,
            "meaning": row.meaning,
        }
        for row in SETTINGS
    ]
    return sorted(rows, key=lambda row: (not row["is_set"], str(row["env"])))


def _shown(value: Any, secret: bool) -> str:
    if secret or isinstance(value, Secret):
        return "•••" if value else "not set"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "–"
    return str(value) if value != "" else "–"


PAGE = AdminPage(
    path="/telemetry", name="telemetry", label="Telemetry", key="t",
    description="Can these pages be believed? What was written, what waits, what was lost.",
    read=read, template="telemetry.html",
)  # fmt: skip
