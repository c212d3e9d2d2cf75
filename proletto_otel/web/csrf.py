"""Whether a change was asked for by a form of ours: the Origin, and a token bound to a cookie.

The cookie is random, `SameSite=Strict` and out of reach of scripts; the form holds its hash. A
bearer token needs neither: no browser adds one by itself.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from flask import Request

from proletto_otel.core.lazy_pattern import lazy_pattern

COOKIE = "proletto_monitoring_form"
FIELD = "csrf"
_VALUE = lazy_pattern(r"[A-Za-z0-9_-]{32}")


def cookie_of(asked: Request) -> str:
    """The visitor's cookie; empty when there is none, or none of ours."""
    value = asked.cookies.get(COOKIE, "")
    return value if _VALUE.fullmatch(value) else ""


def new_cookie() -> str:
    """A value for a visitor without one."""
    return secrets.token_urlsafe(24)


def token(cookie: str) -> str:
    """What forms of the visitor with this cookie hold."""
    return hashlib.sha256(b"proletto monitoring form\0" + cookie.encode()).hexdigest()[:40]


def has_token(asked: Request) -> bool:
    """Whether the request holds the token that belongs to its cookie."""
    cookie = cookie_of(asked)
    given = asked.form.get(FIELD, "") or asked.headers.get("X-CSRF-Token", "")
    return bool(cookie) and hmac.compare_digest(given.encode(), token(cookie).encode())


def is_same_origin(asked: Request, dashboard_url: str = "") -> bool:
    """Whether the browser says that one of our pages asks.

    `Sec-Fetch-Site` cannot be set by a page and does not depend on what proxies do with the host's
    name; browsers send it over https and on this machine. Otherwise the Origin's host must be the
    one asked, or that of `PROLETTO_DASHBOARD_URL`. The scheme is not compared: it is `http` here
    when a proxy ends TLS and nobody set up ProxyFix.
    """
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = asked.headers.get("Origin") or asked.headers.get("Referer") or ""
    host = urlsplit(origin).netloc if origin.startswith(("http://", "https://")) else ""
    return bool(host) and host in (asked.host, urlsplit(dashboard_url).netloc)
