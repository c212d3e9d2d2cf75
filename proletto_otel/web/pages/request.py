"""Request: what happened in this one? Also what the search box finds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from proletto_otel.core.grafana import trace_link
from proletto_otel.logs.search.beginning import begins_at
from proletto_otel.logs.search.results import FILE, LogLine
from proletto_otel.logs.search.walk import SLACK_S
from proletto_otel.web.all_hosts.servers import LOKI
from proletto_otel.web.pages import AdminPage

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked

FINGERPRINT = re.compile(r"[0-9a-f]{16}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
TRACE_ID = re.compile(r"[0-9a-f]{32}")
_TOOK = re.compile(r"duration:([<>]?)=? ?(\d{1,12}(?:\.\d{1,6})?) ?(?:ms)?")
_FIELD = re.compile(r"(level|logger|user|component|text):(\S.{0,199})")
Endpoints = Sequence[Mapping[str, Any]]
"""What the workers tell of each endpoint."""
AXIS_W, AXIS_H = 720, 24


def read(asked: Asked, request_id: str) -> Mapping[str, Any]:
    """Everything that is known of one request, by its ID or its trace's."""
    monitor, config = asked.site.monitor, asked.site.config
    found = monitor.errors.occurrences_of_request(request_id)
    timing = _timing(asked, request_id)
    near = found[0].at if found else timing["at"] if timing else None
    logs = monitor.logs.of_request(request_id, near=near)
    # a stored error is shown among the lines, though it is in no file any more
    has_line = any(line.source == FILE for line in logs.lines)
    log_begins = None if has_line else begins_at(monitor.logs.path)
    facts: dict[str, Any] = {}
    for record in (*logs.lines, *found):
        facts |= record.request
        for name in ("user", "process_id", "trace_id", "environment"):
            if getattr(record, name):
                facts[name] = getattr(record, name)
    trace = str(facts.get("trace_id") or request_id)
    return {
        "request_id": request_id,
        "occurrences": found,
        "logs": logs,
        "axis": axis(logs.lines),
        "began": logs.lines[0].at if logs.lines else None,
        "facts": facts,
        "timing": timing,
        "log_begins": log_begins,
        "lines_are_gone": bool(near and log_begins and log_begins > near + SLACK_S),
        "trace_url": (
            trace_link(config).replace("{trace_id}", trace) if TRACE_ID.fullmatch(trace) else ""
        ),
        "has_loki": LOKI in asked.site.servers,
        "is_known": bool(found or timing or logs.lines),
    }


def axis(lines: Sequence[LogLine]) -> Markup:
    """The log lines of a request on one axis of time."""
    if len(lines) < 2 or lines[-1].at <= lines[0].at:
        return Markup("")
    began, took = lines[0].at, lines[-1].at - lines[0].at
    ticks = Markup("").join(
        Markup('<path class="tick {}" d="M{} 2V{}"><title>{} {}</title></path>').format(
            line.level, round(4 + (AXIS_W - 8) * (line.at - began) / took), AXIS_H - 2,
            line.level, line.message[:200],
        )
        for line in lines
    )  # fmt: skip
    return Markup(
        '<svg class="axis" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{} log lines in {} ms"><path class="grid" d="M0 12H{}"/>{}</svg>'
    ).format(AXIS_W, AXIS_H, len(lines), round(took * 1000), AXIS_W, ticks)


def _timing(asked: Asked, request_id: str) -> dict[str, Any] | None:
    """What is known of one of the slowest or failed requests, also where its lines are gone."""
    endpoints = asked.site.monitor.get_api_metrics()["endpoints"]
    stored = asked.site.monitor.stored_request(request_id)
    if stored is None:
        return _remembered(endpoints, request_id)
    known = (e for e in endpoints if (e["method"], e["route"]) == (stored.method, stored.route))
    return {
        "request_id": request_id, "status": stored.status, "duration_s": stored.seconds,
        "error": stored.error, "message": stored.message, "at": stored.time,
        "endpoint": next(known, {"method": stored.method, "route": stored.route, "p95_s": None}),
    }  # fmt: skip


def _remembered(endpoints: Endpoints, request_id: str) -> dict[str, Any] | None:
    """What the workers tell, and is not stored yet."""
    for endpoint in endpoints:
        last = endpoint["last_error"]
        found = next((s for s in endpoint["slowest"] if s["request_id"] == request_id), None)
        if found is None and last is not None and last["request_id"] == request_id:
            found = last
        if found is not None:
            return {"error": "", **found, "at": found["time_ns"] / 1e9, "endpoint": endpoint}
    return None


def target(text: str) -> tuple[str, dict[str, str]]:
    """Where the search box goes for *text*: a path below the prefix, and its parameters."""
    text = text.strip()[:200]
    if FINGERPRINT.fullmatch(text):
        return f"/errors/{text}", {}
    if text.startswith("/"):
        return "/requests", {"text": text}
    if took := _TOOK.fullmatch(text):
        return "/logs", {"duration_max" if took[1] == "<" else "duration_min": took[2]}
    field = _FIELD.fullmatch(text)
    if field is not None:
        return "/logs", {field[1]: field[2]}
    if REQUEST_ID.fullmatch(text) and any(c.isdigit() for c in text):
        return f"/request/{text}", {}
    return "/logs", {"text": text}


PAGE = AdminPage(
    path="/request/<request_id>", name="request", label="Request", in_navigation=False,
    description="What happened in this one?", read=read, template="request.html",
)  # fmt: skip
