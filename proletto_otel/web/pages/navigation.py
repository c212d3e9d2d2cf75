"""All our pages, and what the navigation shows of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.web.pages import (
    AdminPage,
    alerts,
    endpoint,
    errors,
    health,
    logs,
    overview,
    requests,
    system,
    telemetry,
)
from proletto_otel.web.pages import request as request_page

if TYPE_CHECKING:
    from proletto_otel.web.site import Site

ADMIN_PAGES = (
    overview.PAGE, errors.PAGE, errors.GROUP, requests.PAGE, endpoint.PAGE, request_page.PAGE,
    logs.PAGE, health.PAGE, alerts.PAGE, system.PAGE, telemetry.PAGE,
)  # fmt: skip
"""In the order of the navigation."""
BY_NAME = {page.name: page for page in ADMIN_PAGES}
MISSING = AdminPage(
    path="", name="missing", label="Not found", description="", read=lambda asked: {},
    template="missing.html", in_navigation=False, interval_s=0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tab:
    """One entry of the navigation."""

    path: str
    name: str
    label: str
    key: str


def navigation(site: Site) -> Sequence[Tab]:
    """The pages in the order of the navigation, the application's own last."""
    ours = [Tab(p.path, p.name, p.label, p.key) for p in ADMIN_PAGES if p.in_navigation]
    return [*ours, *(Tab(p.path, f"own{p.path}", p.label, "") for p in site.pages)]
