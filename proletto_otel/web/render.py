"""Admin pages as HTML: the template environment, the frame around each page, its cards.

The environment is our own: the application lists its templates and finds none of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Response, request
from jinja2 import Environment, PackageLoader, Template
from markupsafe import Markup

from proletto_otel.web import assets, csrf, figures, ranges, session
from proletto_otel.web.charts import draw
from proletto_otel.web.login import cookie_path, home
from proletto_otel.web.site import PAGE_HEADERS, Site
from proletto_otel.web.visitor import Visitor

if TYPE_CHECKING:
    from proletto_otel.web.pages import AdminPage

FOLDER = "proletto_monitoring"


@dataclass(kw_only=True, eq=False)
class Asked:
    """One request for an admin page, and who asks."""

    site: Site
    visitor: Visitor
    query: Mapping[str, str]
    """The parameters of the address."""

    @property
    def range(self) -> ranges.Range:
        """The time range that the address asks for."""
        return ranges.chosen(self.query)


@dataclass(eq=False)
class Cards:
    """The cards of one page, in order; `{% call card("id", "Title") %}` adds one."""

    html: dict[str, Markup] = field(default_factory=dict)

    def card(
        self, name: str, title: str = "", wide: int = 6, *, caller: Callable[[], Markup]
    ) -> Markup:
        """A card with its own ID and the hash of what it shows: live updates swap it alone."""
        body = caller()
        digest = hashlib.sha256(body.encode()).hexdigest()[:12]
        heading = Markup("<h2>{}</h2>").format(title) if title else ""
        made = Markup('<section class="card w{}" id="{}" data-hash="{}">{}{}</section>').format(
            wide, name, digest, heading, body
        )
        self.html[name] = made
        return made


@cache
def environment() -> Environment:
    """Made with the first page."""
    made = Environment(
        loader=PackageLoader("proletto_otel.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=figures.number, short=figures.short, duration=figures.duration, size=figures.size,
        long_duration=figures.long_duration, percent=figures.percent, ratio=figures.ratio,
        time=figures.time, ago=figures.ago, unit=figures.with_unit, words=_words,
    )  # fmt: skip
    made.globals.update(
        sparkline=draw.sparkline, spark_bars=draw.spark_bars, strip=draw.strip, meter=draw.meter
    )
    return made


def template(name: str) -> Template:
    """One of our templates."""
    return environment().get_template(f"{FOLDER}/{name}")


def page(asked: Asked, shown: AdminPage, data: Mapping[str, Any], status: int = 200) -> Response:
    """The whole page."""
    cookie = csrf.cookie_of(request) or csrf.new_cookie()
    html, _ = render(asked, shown, data, cookie)
    answer = Response(html, status, dict(PAGE_HEADERS), content_type="text/html; charset=utf-8")
    if asked.visitor.may_change and not csrf.cookie_of(request):
        session.set_cookie(answer, csrf.COOKIE, cookie, request, cookie_path(asked.site))
    return answer


def render(
    asked: Asked, shown: AdminPage, data: Mapping[str, Any], cookie: str
) -> tuple[str, Cards]:
    """The page's HTML and its cards."""
    cards = Cards()
    html = template(shown.template).render(
        {**data, **frame(asked, shown)}, card=cards.card, csrf_token=csrf.token(cookie)
    )
    return html, cards


def frame(asked: Asked, shown: AdminPage) -> dict[str, Any]:
    """What the frame around every page shows."""
    from proletto_otel.web.pages import navigation
    from proletto_otel.web.pages.completeness import completeness

    site, base, kept = asked.site, base_of(asked), kept_of(asked)
    return {
        "page": shown,
        "base": base,
        "navigation": navigation(site),
        "kept": f"?{urlencode(kept)}" if kept else "",
        "link": linker(asked),
        "visitor": asked.visitor,
        "can": asked.visitor.may_change,
        "range": asked.range,
        "ranges": ranges.RANGES,
        "query": asked.query,
        "service": site.config.service_name,
        "environment": site.config.environment,
        "version": site.config.resource_attributes.get("service.version", ""),
        "completeness": completeness(site),
        "stylesheet": assets.url(base, "dashboard.css"),
        "icon": assets.url(base, "icon.svg"),
        "script": assets.url(base, "dashboard.js"),
    }


def base_of(asked: Asked) -> str:
    """Where the pages begin: the mount point and the prefix."""
    return f"{request.script_root}{home(asked.site)}".rstrip("/")


def kept_of(asked: Asked) -> dict[str, str]:
    """What every link keeps of the address: the time range."""
    return {"range": asked.query["range"]} if "range" in asked.query else {}


def linker(asked: Asked) -> Callable[..., str]:
    """Makes the addresses of pages."""
    base, kept = base_of(asked), kept_of(asked)

    def link(path: str, **query: Any) -> str:
        """The address of a page, with the range of this one."""
        found = {k: str(v) for k, v in {**kept, **query}.items() if v not in (None, "")}
        return f"{base}{path}" + (f"?{urlencode(found)}" if found else "")

    return link


def _words(values: Sequence[Any] | Mapping[str, Any]) -> str:
    """A list or a mapping as words."""
    if isinstance(values, Mapping):
        return ", ".join(f"{name} {value}" for name, value in values.items())
    return ", ".join(map(str, values))
