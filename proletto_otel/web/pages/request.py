"""Request: what happened in this one? Also what the search box finds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proletto_otel.errors.group_rows import ErrorGroup
from proletto_otel.web.pages import AdminPage, request_minutes
from proletto_otel.web.pages.errors import facts

if TYPE_CHECKING:
    from proletto_otel.web.render import Asked

FINGERPRINT = re.compile(r"[0-9a-f]{16}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
TRACE_ID = re.compile(r"[0-9a-f]{32}")


def read(asked: Asked, request_id: str) -> Mapping[str, Any]:
    """Everything that is known of one request, by its ID or its trace's."""
    group = _group_of(asked, request_id)
    timing = _timing(asked, request_id)
    config = asked.site.config
    return {
        "request_id": request_id,
        "group": group,
        "sample": (group.sample or {}) if group else {},
        "facts": facts(group.sample or {}) if group else {},
        "timing": timing,
        "trace_url": (
            config.trace_url.replace("{trace_id}", request_id)
            if config.trace_url and TRACE_ID.fullmatch(request_id)
            else ""
        ),
        "found": bool(group or timing),
    }


def _group_of(asked: Asked, request_id: str) -> ErrorGroup | None:
    """The error group whose latest occurrence was in this request."""
    if asked.site.groups is None:
        return None
    for group in asked.site.groups.groups(limit=200):
        if request_id in (group.request_id, group.trace_id):
            return asked.site.groups.get(group.fingerprint)
    return None


def _timing(asked: Asked, request_id: str) -> dict[str, Any] | None:
    """What the endpoints remember of it: the slowest requests, and the last that failed."""
    for endpoint in request_minutes.endpoints(asked.site):
        last = endpoint["last_error"]
        found = next((s for s in endpoint["slowest"] if s["request_id"] == request_id), None)
        if found is None and last is not None and last["request_id"] == request_id:
            found = last
        if found is not None:
            return {**found, "at": found["time_ns"] / 1e9, "endpoint": endpoint}
    return None


def target(text: str) -> tuple[str, dict[str, str]]:
    """Where the search box goes for *text*: a path below the prefix, and its parameters."""
    text = text.strip()[:200]
    if FINGERPRINT.fullmatch(text):
        return f"/errors/{text}", {}
    if text.startswith("/"):
        return "/requests", {"text": text}
    if REQUEST_ID.fullmatch(text) and any(c.isdigit() for c in text):
        return f"/request/{text}", {}
    return "/errors", {"text": text, "status": "all"}


PAGE = AdminPage(
    path="/request/<request_id>", name="request", label="Request", in_navigation=False,
    description="What happened in this one?", read=read, template="request.html",
)  # fmt: skip
