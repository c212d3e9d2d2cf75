"""The session of somebody who gave the admin token in the login form: one signed cookie.

The key is derived from the token, which also gives the role: no `SECRET_KEY` is needed, all workers
have the same one, and a new token ends every session. Nothing is stored on the server.

    <unix time it ends>.<random>.<name, base64>.<signature>
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time

from flask import Request, Response

from proletto_otel.web.visitor import OPERATOR, Visitor

COOKIE = "proletto_monitoring"
LASTS_S = 12 * 3600
MAX_NAME = 60
MAX_COOKIE = 512


def begin(token: str, name: str, now: float | None = None) -> str:
    """The cookie's value for somebody who gave *token*."""
    ends = int((time.time() if now is None else now) + LASTS_S)
    shown = base64.urlsafe_b64encode(name[:MAX_NAME].encode()).decode().rstrip("=")
    text = f"{ends}.{secrets.token_urlsafe(12)}.{shown}"
    return f"{text}.{_signature(token, text)}"


def visitor(
    asked: Request, token: str, role: str = OPERATOR, now: float | None = None
) -> Visitor | None:
    """Who has a valid cookie; None: nobody."""
    given = asked.cookies.get(COOKIE, "")
    if not token or not given or len(given) > MAX_COOKIE:
        return None
    text, _, signature = given.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(token, text).encode()):
        return None
    ends, _, shown = text.split(".")
    if int(ends) < (time.time() if now is None else now):
        return None
    name = base64.urlsafe_b64decode(shown + "=" * (-len(shown) % 4)).decode("utf-8", "replace")
    return Visitor(name=name or "token", role=role, way="session")


def set_cookie(answer: Response, name: str, value: str, asked: Request, path: str) -> None:
    """Set a cookie that no script and no other site can use; an empty *value* deletes it."""
    answer.set_cookie(
        name, value, path=path or "/", httponly=True, samesite="Strict", secure=asked.is_secure,
        max_age=LASTS_S if value else 0,
    )  # fmt: skip


def _signature(token: str, text: str) -> str:
    key = hashlib.sha256(b"proletto monitoring session\0" + token.encode()).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
