"""Errors: what fails, for whom, is it new? And one group of errors in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proletto_otel.errors.group_rows import STATUSES, ErrorGroup
from proletto_otel.web.pages import AdminPage, listed
from proletto_otel.web.pages.markdown import error_as_markdown
from proletto_otel.web.pages.traceback import frames

if TYPE_CHECKING:
    from proletto_otel.web.render import Asked

MAX_SEARCH = 200
FACTS = (
    "http.request.method", "url.path", "http.route", "http.response.status_code", "user_id",
    "client.address", "component", "environment", "process_id", "request_id", "trace_id",
)  # fmt: skip
"""Fields of a record that are shown first."""
NOT_FACTS = frozenset(
    ("exception", "breadcrumbs", "locals", "message", "timestamp", "level", "logger", "thread_id")
)


def read(asked: Asked) -> Mapping[str, Any]:
    """The groups, the latest first."""
    status = asked.query.get("status", "open")
    status = status if status in (*STATUSES, "all") else "open"
    text = asked.query.get("text", "").strip()[:MAX_SEARCH]
    limit = listed(asked, "limit", 50)
    found = groups(asked, status=status, text=text, limit=limit)
    return {
        "groups": found,
        "status": status,
        "statuses": (*STATUSES, "all"),
        "text": text,
        "limit": limit,
    }


def groups(
    asked: Asked, *, status: str = "all", text: str = "", limit: int = 50
) -> Sequence[ErrorGroup]:
    """Groups with this status that contain *text*."""
    if asked.site.groups is None:
        return []
    wanted = None if status == "all" else status
    return asked.site.groups.groups(status=wanted, search=text, limit=limit)


def read_group(asked: Asked, fingerprint: str) -> Mapping[str, Any] | None:
    """One group with its latest occurrence."""
    group = asked.site.groups.get(fingerprint) if asked.site.groups else None
    if group is None:
        return None
    sample = group.sample or {}
    exception = sample.get("exception") or {}
    return {
        "group": group,
        "sample": sample,
        "frames": frames(exception.get("traceback") or ()),
        "raw": "\n".join(exception.get("traceback") or ()),
        "facts": facts(sample),
        "breadcrumbs": sample.get("breadcrumbs") or (),
        "markdown": error_as_markdown(group, asked.site.config.service_name),
    }


def facts(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What is known about the request of a record, the important fields first."""
    first = {name: sample[name] for name in FACTS if sample.get(name) not in (None, "")}
    rest = {k: v for k, v in sample.items() if k not in first and k not in NOT_FACTS}
    return {**first, **rest}


PAGE = AdminPage(
    path="/errors", name="errors", label="Errors", key="e", json="errors",
    description="What fails, for whom, and is it new?", read=read, template="errors.html",
)  # fmt: skip
GROUP = AdminPage(
    path="/errors/<fingerprint>", name="error", label="Error", in_navigation=False,
    description="Where in the code, in which requests, and who works on it?",
    read=read_group, template="error.html",
)  # fmt: skip
