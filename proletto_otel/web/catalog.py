"""All admin pages, their JSON, their actions and their assets as one table, and how they are run.

Imported by the first request for one of them: nothing of it costs anything at set-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, abort, current_app, request
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, MapAdapter, Rule

from proletto_otel.core import internal_errors
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import count_failure
from proletto_otel.web import actions, admin_api, assets, live, login, openapi, render
from proletto_otel.web.access import LOGIN, is_browser
from proletto_otel.web.addresses import base_of, home, kept_of
from proletto_otel.web.asked import Asked
from proletto_otel.web.own_pages import MonitoringPage
from proletto_otel.web.pages import (
    AdminPage,
    logs,
    overview,
)
from proletto_otel.web.pages import request as request_page
from proletto_otel.web.pages.navigation import ADMIN_PAGES, MISSING
from proletto_otel.web.site import READING, Page, Site, json_answer, text_answer
from proletto_otel.web.visitor import Visitor

ADMIN = "proletto_monitoring"
"""What our endpoints begin with; an application's `extensions` keep its site under this name."""
NOTHING = f"{ADMIN}_nothing"


def _html(shown: AdminPage) -> Callable[..., Response]:
    def view(asked: Asked, **captured: str) -> Response:
        with asked.site.one_reading():
            data = shown.read(asked, **captured)
            if data is None:
                return render.page(asked, MISSING, {"what": captured or dict(asked.query)}, 404)
            return render.page(asked, shown, data)

    return view


def _json(shown: AdminPage) -> Callable[..., Response]:
    def view(asked: Asked, **captured: str) -> Response:
        if asked.range.problem:
            return json_answer({"error": asked.range.problem}, 400)
        with asked.site.one_reading():
            data = shown.read(asked, **captured)
        return (
            json_answer({"error": "not found"}, 404) if data is None else json_answer(plain(data))
        )

    return view


def plain(data: Any) -> Any:
    """The data of a page without what is drawn."""
    if isinstance(data, Mapping):
        return {k: plain(v) for k, v in data.items() if not isinstance(v, Markup)}
    if isinstance(data, (list, tuple)):
        return [plain(v) for v in data if not isinstance(v, Markup)]
    return data


def _own(shown: MonitoringPage, as_json: bool) -> Callable[..., Response]:
    """A page of the application's own; its failure is its own, too."""
    frame = AdminPage(
        path=shown.path, name=f"own{shown.path}", label=shown.label,
        description=shown.description, read=lambda asked: {}, template="own.html", interval_s=0,
    )  # fmt: skip

    def view(asked: Asked) -> Response:
        try:
            value, failed = shown.view(), ""
        except Exception as error:
            count_failure("admin.own_page", error)
            value, failed = None, type(error).__name__
        if as_json:
            status = 500 if failed else 200
            return json_answer({"error": failed} if failed else value, status)
        return render.page(asked, frame, {"value": value, "failed": failed}, 500 if failed else 200)

    return view


def _search(asked: Asked) -> Response:
    path, query = request_page.target(asked.query.get("q", ""))
    query.update(kept_of(asked))
    from urllib.parse import quote, urlencode

    found = f"{request.script_root}{home(asked.site)}{quote(path)}"
    return login.redirect(found + (f"?{urlencode(query)}" if query else ""))


def _openapi(asked: Asked) -> Response:
    """The OpenAPI document of this application's pages."""
    return json_answer(openapi.document(pages(asked.site), base_of(asked)))


def _has_form(site: Site) -> bool:
    return bool(site.access.tokens)


def _fixed_pages() -> list[Page]:
    """Every page but the application's own."""
    pages = [Page(p.path, p.name, _html(p)) for p in ADMIN_PAGES]
    pages.append(Page("/", "overview_slash", _html(overview.PAGE)))
    pages += [
        Page(f"/api/pages/{p.name}{_tail(p)}", f"page_{p.name}", _json(p)) for p in ADMIN_PAGES
    ]
    pages += admin_api.PAGES
    pages += [
        Page("/api/live", "live", live.view),
        Page("/api/openapi.json", "openapi", _openapi),
        Page("/api/logs/tail", "logs_tail", logs.tail),
        Page("/logs/download", "logs_download", logs.download),
        Page("/search", "search", _search),
        Page(
            "/static/<digest>/<name>", "static",
            lambda asked, **c: assets.serve(asked.site, **c), open_to=_has_form,
        ),
        Page("/login", "login", lambda asked: login.redirect(
            f"{request.script_root}{home(asked.site)}")),
        Page("/actions/<action>", "action", actions.view, method="POST"),
    ]  # fmt: skip
    return pages


def _tail(page: AdminPage) -> str:
    """What the path of a page captures."""
    return page.path[page.path.index("/<") :] if "/<" in page.path else ""


FIXED = _fixed_pages()


def pages(site: Site) -> list[Page]:
    """Every page of *site*."""
    own = [Page(p.path, f"own_{p.path[1:]}", _own(p, False)) for p in site.pages]
    twins = [
        Page(f"/api/pages{p.path}", f"page_own_{p.path[1:]}", _own(p, True)) for p in site.pages
    ]
    return [*FIXED, *own, *twins]


class Routes:
    """The rules of one prefix, and the view of each; made at the first request for a page."""

    def __init__(self, prefix: str, site: Site) -> None:
        self.nothing = Rule(f"{prefix}/<path:rest>", endpoint=NOTHING)
        found = pages(site)
        rules = [Rule(f"{prefix}{page.path}" or "/", endpoint=_endpoint(page)) for page in found]
        self.adapter: MapAdapter = Map([*rules, self.nothing], merge_slashes=False).bind(
            "localhost"
        )
        self.views = {_endpoint(page): view_of(page) for page in found}
        self.views[NOTHING] = view_of(Page("/<path:rest>", "nothing", _nothing))


def view_of(page: Page) -> Callable[..., Any]:
    """What Flask calls for *page*: only who is let in sees it, and only its methods are answered.

    A page that is hidden answers 404 to every method: a 405 would tell that it exists.
    """
    methods = READING if page.method == "GET" else (page.method,)

    def view(**captured: str) -> Any:
        site: Site = current_app.extensions[ADMIN]
        visitor = site.access.visitor()
        if not isinstance(visitor, Visitor):
            if page.open_to is None or request.method not in READING or not page.open_to(site):
                return _refusal(site, visitor)
            visitor = Visitor(name="", role="", way="")
        if request.method not in methods:
            return _not_allowed(methods)
        asked = Asked(site=site, visitor=visitor, query=request.args)
        try:
            return page.view(asked, **captured)
        except ConfigError as error:
            return text_answer(f"{error}\n", 400)
        except HTTPException:
            raise
        except Exception as error:  # not the application's error: it is not reported as one
            count_failure(f"admin.{page.name}", error)
            if internal_errors.strict:
                raise
            return _failed(asked, page, error)

    return view


def _failed(asked: Asked, page: Page, error: Exception) -> Response:
    """What a page says that failed itself; the others work."""
    name = type(error).__name__
    if page.path.startswith(("/api/", "/logs/")):
        return json_answer({"error": f"this page failed: {name}"}, 500)
    try:
        return render.page(asked, MISSING, {"failed": name}, 500)
    except Exception:  # the frame around all pages is what fails
        return text_answer(f"this page failed: {name}\n", 500)


def _not_allowed(methods: tuple[str, ...]) -> Response:
    answer = text_answer(f"only {methods[0]}\n", 405)
    answer.headers["Allow"] = ", ".join(methods)
    return answer


def _refusal(site: Site, verdict: int | Response) -> Response:
    """What somebody gets who is not let in: where a token would let them, the form for it."""
    asks_for_login = request.path == f"{home(site).rstrip('/')}/login"
    if site.access.tokens and is_browser(request) and (verdict == LOGIN or asks_for_login):
        if request.method == "POST":
            return login.attempt(site)
        if request.method in READING:
            return login.form(site)
    if isinstance(verdict, Response):
        return verdict
    if verdict == 404:
        abort(404)
    answer = text_answer("closed\n", verdict)
    if verdict == LOGIN:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _nothing(asked: Asked, **captured: str) -> Response:
    """A path that does not exist: who is let in and reads HTML finds the way back."""
    if not is_browser(request):
        abort(404)
    return render.page(asked, MISSING, {"what": {"page": captured.get("rest", "")}}, 404)


def _endpoint(page: Page) -> str:
    return f"{ADMIN}_{page.name}"
