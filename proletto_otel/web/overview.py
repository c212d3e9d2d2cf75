"""The admin page: health, system, requests, errors and alerts on one page, without scripts."""

from __future__ import annotations

from functools import cache

from flask import Response
from jinja2 import Environment, PackageLoader, Template

from proletto_otel.core.texts import human_duration, iso_time
from proletto_otel.web.site import PAGE_HEADERS, Page, Site


def overview(site: Site) -> Response:
    """The page at the prefix of the admin pages."""
    return Response(_page(site), 200, dict(PAGE_HEADERS), content_type="text/html")


PAGES = (Page("", "overview", overview), Page("/", "overview_slash", overview))


@cache
def _template() -> Template:
    """Made at the first use, in an environment of its own: the application lists its templates."""
    environment = Environment(loader=PackageLoader("proletto_otel.web"), autoescape=True)
    return environment.get_template("proletto_monitoring/overview.html")


def _page(site: Site) -> str:
    from proletto_otel.alerts.indicators import INDICATORS

    config, monitor = site.config, site.monitor
    system = monitor.get_system_metrics()
    return _template().render(
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
