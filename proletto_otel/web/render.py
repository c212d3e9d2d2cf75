"""Admin pages as HTML: the template environment, the frame around each page, its cards.

The environment is our own: the application lists its templates and finds none of ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import Response, request
from markupsafe import Markup

from proletto_otel.core.texts import readable
from proletto_otel.web import assets, csrf, ranges, session
from proletto_otel.web.addresses import base_of, changer, cookie_path, kept_form, kept_of, linker
from proletto_otel.web.asked import Asked
from proletto_otel.web.charts.chart import Chart
from proletto_otel.web.grafana_link import grafana_link
from proletto_otel.web.pages.completeness import completeness
from proletto_otel.web.pages.navigation import navigation
from proletto_otel.web.site import PAGE_HEADERS
from proletto_otel.web.template_environment import template

if TYPE_CHECKING:
    from proletto_otel.web.pages import AdminPage

FOLDER = "proletto_monitoring"
HALF, WALL = 6, 3
"""Width of a card of which two fit beside each other, and how many do on a wall."""
TABLE = "table"
"""Value of the parameter `as` that shows the values of charts in place of the drawings."""


@dataclass(eq=False)
class Cards:
    """The cards of one page, in order; `{% call card("id", "Title") %}` adds one."""

    html: dict[str, Markup] = field(default_factory=dict)
    _runs: list[tuple[int, list[str]]] = field(default_factory=list)
    """Names of neighbours of one width."""

    def card(
        self, name: str, title: str = "", wide: int = 6, *, caller: Callable[[], Markup]
    ) -> Markup:
        """A card with its own ID and the hash of what it shows: live updates swap it alone."""
        body = Markup(readable(caller()))
        digest = hashlib.sha256(body.encode()).hexdigest()[:12]
        heading = Markup("<h2>{}</h2>").format(title) if title else ""
        made = Markup('<section class="card w{}" id="{}" data-hash="{}">{}{}</section>').format(
            wide, name, digest, heading, body
        )
        self.html[name] = made
        if not self._runs or self._runs[-1][0] != wide:
            self._runs.append((wide, []))
        self._runs[-1][1].append(name)
        return made

    def fill_rows(self, html: str) -> str:
        """*html* with the last cards of each row as wide as there is room.

        On a wall three cards of width 6 fit beside each other. Of those that do not fill such a
        row two share one: the class `half`. On a desk two fit: `odd` is the last one of an odd
        number. One that is alone is `only`.
        """
        for wide, names in self._runs:
            for name, more in _shares(names).items() if wide == HALF else ():
                old = Markup('<section class="card w6" id="{}"').format(name)
                new = Markup('<section class="card w6{}" id="{}"').format(more, name)
                html = html.replace(old, new, 1)
                self.html[name] = Markup(self.html[name].replace(old, new, 1))
        return html


def _shares(names: list[str]) -> dict[str, str]:
    """Classes of cards of one width that stand beside each other."""
    if len(names) == 1:
        return {names[0]: " only"}
    rest = len(names) % WALL
    found = dict.fromkeys(names[-2 * (WALL - rest) :] if rest else (), " half")
    if len(names) % 2:
        found[names[-1]] = found.get(names[-1], "") + " odd"
    return found


def page(asked: Asked, shown: AdminPage, data: Mapping[str, Any], status: int = 200) -> Response:
    """The whole page."""
    cookie = csrf.cookie_of(request) or csrf.new_cookie()
    html, _ = render(asked, shown, data, cookie)
    answer = Response(html, status, dict(PAGE_HEADERS), content_type="text/html; charset=utf-8")
    # a viewer's only form is the one that ends the session
    has_forms = asked.visitor.may_change or asked.visitor.way == "session"
    if has_forms and not csrf.cookie_of(request):
        session.set_cookie(answer, csrf.COOKIE, cookie, request, cookie_path(asked.site))
    return answer


def render(
    asked: Asked, shown: AdminPage, data: Mapping[str, Any], cookie: str
) -> tuple[str, Cards]:
    """The page's HTML and its cards."""
    cards = Cards()
    html = template(shown.template).render(
        {**data, **frame(asked, shown)},
        card=cards.card,
        csrf_token=csrf.token(cookie),
        grafana_link=grafana_link(asked, shown.name, data),
    )
    return cards.fill_rows(readable(html)), cards


def frame(asked: Asked, shown: AdminPage) -> dict[str, Any]:
    """What the frame around every page shows."""
    site, base, kept = asked.site, base_of(asked), kept_of(asked)
    here = changer(asked, shown.path)
    return {
        "page": shown,
        "base": base,
        "navigation": navigation(site),
        "kept": f"?{urlencode(kept)}" if kept else "",
        "kept_form": kept_form(asked),
        "link": linker(asked),
        "here": here,
        "chart": _shower(asked, here),
        "visitor": asked.visitor,
        "can": asked.visitor.may_change,
        "range": asked.range,
        "choices": ranges.choices(asked.range.end, site.past.since(), site.past.last_deploy()),
        "kept_since": site.past.since(),
        "range_parameters": ranges.PARAMETERS,
        "query": asked.query,
        "has_switch": shown.server in site.servers,
        "all_hosts": asked.all_hosts and bool(shown.server),
        "service": site.config.service_name,
        "environment": site.config.environment,
        "version": site.config.resource_attributes.get("service.version", ""),
        "completeness": completeness(site),
        "stylesheet": assets.url(base, "dashboard.css"),
        "icon": assets.url(base, "icon.svg"),
        "script": assets.url(base, "dashboard.js"),
    }


def _shower(asked: Asked, here: Callable[..., str]) -> Callable[[Any], Markup]:
    """Shows a chart of the page as a drawing or, with `?as=table`, as its values."""
    as_table = asked.query.get("as") == TABLE
    label, wanted = ("As chart", None) if as_table else ("As table", TABLE)
    link = Markup('<p class="as"><a href="{}">{}</a></p>').format(here(**{"as": wanted}), label)

    def show(chart: Any) -> Markup:
        if not isinstance(chart, Chart):  # nothing was drawn
            return Markup(chart)
        return (chart.as_table() if as_table else chart) + link

    return show
