"""New values for an open page: `api/live?page=overview&…`, answered 304 while nothing changed.

The answer holds the page's cards; the script swaps those with another hash. The ETag is made of
these hashes, so that a page that looks the same costs a few bytes.
"""

from __future__ import annotations

import hashlib

from flask import Response, request

from proletto_otel.web import csrf, render
from proletto_otel.web.asked import Asked
from proletto_otel.web.pages.navigation import BY_NAME
from proletto_otel.web.site import HEADERS, json_answer


def view(asked: Asked) -> Response:
    """The cards of the page that the address names, with the page's own parameters."""
    shown = BY_NAME.get(asked.query.get("page", ""))
    if shown is None or not shown.interval_s:
        return json_answer({"error": "no such page"}, 404)
    captured = {
        n: asked.query.get(n, "") for n in ("fingerprint", "request_id") if f"<{n}>" in shown.path
    }
    data = shown.read(asked, **captured)
    if data is None:
        return json_answer({"error": "not found"}, 404)
    _, cards = render.render(asked, shown, data, csrf.cookie_of(request))
    etag = _etag(cards)
    if etag in request.if_none_match:
        return Response(status=304, headers={**HEADERS, "ETag": f'"{etag}"'})
    answer = json_answer({
        "interval": shown.interval_s,
        "cards": {name: str(html) for name, html in cards.html.items()},
    })  # fmt: skip
    answer.headers["ETag"] = f'"{etag}"'
    return answer


def _etag(cards: render.Cards) -> str:
    return hashlib.sha256("".join(cards.html.values()).encode()).hexdigest()[:16]
