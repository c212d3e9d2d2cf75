"""The admin page: health, system, requests, errors and alerts on one page, without scripts."""

from __future__ import annotations

from flask import Response, render_template

from proletto_otel.core.texts import human_duration, iso_time
from proletto_otel.web.site import PAGE_HEADERS, Site, Views


def add(views: Views, site: Site) -> None:
    """Add the page at the prefix of the admin pages."""

    def overview() -> Response:
        return Response(_page(site), 200, dict(PAGE_HEADERS), content_type="text/html")

    views.add("", "overview", overview)
    views.add("/", "overview_slash", overview)


def _page(site: Site) -> str:
    from proletto_otel.alerts.indicators import INDICATORS

    config, monitor = site.config, site.monitor
    system = monitor.get_system_metrics()
    return render_template(
        "proletto_monitoring/overview.html",
        service=config.service_name,
        environment=config.environment,
        prefix=config.admin_prefix.rstrip("/"),
        health=monitor.get_health(),
        system=[
            (INDICATORS[name].title, INDICATORS[name].show(value) if value is not None else "–")
            for name, value in system.items()
            if name in INDICATORS
        ],
        requests=monitor.get_api_metrics(),
        errors=monitor.get_errors(20),
        alerts=monitor.get_alerts(),
        notices=monitor.get_notices(20),
        iso_time=iso_time,
        human_duration=human_duration,
    )
