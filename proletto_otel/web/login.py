"""The login form for `MONITOR_ADMIN_TOKEN` and `MONITOR_VIEWER_TOKEN`.

The form posts to the address that was asked for: no address to go on to is in the page, so every
closed page has the same body and nothing redirects to another site.
"""

from __future__ import annotations

from flask import Response, request

from proletto_otel.web import assets, csrf, session
from proletto_otel.web.access import LOGIN
from proletto_otel.web.addresses import cookie_path, home
from proletto_otel.web.site import PAGE_HEADERS, Site
from proletto_otel.web.template_environment import template
from proletto_otel.web.visitor import Visitor

MAX_FORM = 16_384
"""Bytes of a form that are read."""


def form(site: Site, message: str = "", status: int = LOGIN) -> Response:
    """The form; the same on every page."""
    body = template("login.html").render(site=site, message=message, **_assets(site))
    answer = Response(body, status, dict(PAGE_HEADERS), content_type="text/html; charset=utf-8")
    if status == LOGIN:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def attempt(site: Site) -> Response:
    """Somebody sent the form."""
    attempts, address = site.access.attempts, request.remote_addr
    wait_s = attempts.wait_s(address)
    if wait_s:
        answer = form(site, f"Too many attempts. Try again in {wait_s} s.", 429)
        answer.headers["Retry-After"] = str(wait_s)
        return answer
    if (request.content_length or 0) > MAX_FORM:
        return form(site, "That form is too long.", 413)
    if not csrf.is_same_origin(request, site.config.dashboard_url):
        return form(site, "This form was sent from another site.", 403)
    found = site.access.tokens.match(request.form.get("token", "").strip())
    if found is None:
        attempts.failed(address)
        site.audit.add_failure(_somebody(), "login failed", address or "")
        return form(site, "That is not the token.")
    return _let_in(site, *found, request.form.get("name", "").strip())


def _let_in(site: Site, token: str, role: str, name: str) -> Response:
    visitor = Visitor(name=name or "token", role=role, way="session")
    site.audit.add(visitor, "login", "", request.remote_addr or "")
    here = request.path
    target = home(site) if here.endswith("/login") or "/actions/" in here else request.full_path
    answer = redirect(f"{request.script_root}{target.rstrip('?')}")
    session.set_cookie(
        answer, session.COOKIE, session.begin(token, visitor.name), request, cookie_path(site)
    )
    return answer


def logout(site: Site) -> Response:
    """End the session: the browser forgets the cookie."""
    answer = redirect(f"{request.script_root}{home(site)}")
    session.set_cookie(answer, session.COOKIE, "", request, cookie_path(site))
    return answer


def redirect(path: str) -> Response:
    """On to a path of ours, which is read with GET."""
    # one slash: `//host` would be another site
    headers = {**PAGE_HEADERS, "Location": "/" + path.lstrip("/")}
    return Response("", 303, headers, content_type="text/plain")


def _somebody() -> Visitor:
    return Visitor(name="somebody", role="", way="form")


def _assets(site: Site) -> dict[str, str]:
    base = f"{request.script_root}{home(site)}"
    names = {"stylesheet": "dashboard.css", "icon": "icon.svg"}
    return {role: assets.url(base, name) for role, name in names.items()}
