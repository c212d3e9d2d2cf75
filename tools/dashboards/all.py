"""All dashboards, as texts by path."""

from __future__ import annotations

from tools.dashboards import (
    errors,
    health,
    home,
    pipeline,
    requests,
    runbook,
    service,
    slo,
    system,
)  # fmt: skip

FOLDER = "grafana/dashboards"
PAGES = {
    "home": home.dashboard, "service": service.dashboard, "errors": errors.dashboard,
    "requests": requests.dashboard, "system": system.dashboard, "health": health.dashboard,
    "slo": slo.dashboard, "pipeline": pipeline.dashboard,
}  # fmt: skip
PATHS = tuple(f"{FOLDER}/{name}.json" for name in (*PAGES, "runbook"))


def files(runbook_markdown: str) -> dict[str, str]:
    """Path -> JSON of every dashboard."""
    made = {f"{FOLDER}/{name}.json": page().json() for name, page in PAGES.items()}
    return {**made, f"{FOLDER}/runbook.json": runbook.dashboard(runbook_markdown).json()}
