"""Logs: who said something then? The structured file, its rotated files and stored errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from flask import Response

from proletto_otel.core.errors import ConfigError
from proletto_otel.logs.search.query import LEVELS, LogQuery
from proletto_otel.logs.search.results import LogPage
from proletto_otel.logs.search.took import milliseconds
from proletto_otel.web.addresses import linker
from proletto_otel.web.all_hosts.servers import LOKI
from proletto_otel.web.pages import AdminPage, hosts, listed
from proletto_otel.web.pages.level_strip import BARS, drawn, level_strip
from proletto_otel.web.site import HEADERS, json_answer
from proletto_otel.web.template_environment import template

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked

DURATIONS = ("duration_min", "duration_max")
FIELDS = ("level", "text", "logger", "identifier", "component", "user", "pattern", *DURATIONS)
"""Parameters that say what lines must have."""
AROUND = 20
"""Lines before and after a hit."""
MAX_DOWNLOAD = 1000


def wanted(asked: Asked) -> LogQuery:
    """What the address asks for. A time range holds only when it is asked for.

    Raises:
        ConfigError: a duration that is no number.
    """
    fields: dict[str, Any] = {n: asked.query.get(n, "").strip()[:500] for n in FIELDS}
    for name in DURATIONS:
        fields[name] = milliseconds(name, fields[name])
    return LogQuery(
        **fields,
        since=asked.range.start if asked.range.is_asked else None,
        until=asked.range.end if asked.range.is_over else None,
    )


def read(asked: Asked) -> Mapping[str, Any]:
    """The lines, newest first; or around one line, `?at=<position>`."""
    logs, at = asked.site.monitor.logs, asked.query.get("at", "")
    problem, server, strip, limit = "", None, None, listed(asked, "limit", 50)
    try:
        if asked.all_hosts:
            server, page, counts = hosts.log_page(asked, wanted(asked), limit, BARS)
            strip = drawn(asked, counts) if counts is not None else None
        elif at:
            page = logs.around(at, AROUND, AROUND)
            page = replace(page, lines=tuple(sorted(page.lines, key=lambda line: line.at)))
        else:
            page = logs.search(
                wanted(asked),
                cursor=asked.query.get("cursor") or None,
                limit=limit,
            )
            # workers write some milliseconds late: their lines are a little mixed in the file
            page = replace(page, lines=tuple(sorted(page.lines, key=lambda line: -line.at)))
    except ConfigError as error:  # a level, a duration or an expression that does not fit
        page, problem = LogPage(), str(error)
    if not (at or server or problem):
        strip = level_strip(asked)
    return {
        "server": server,
        "strip": strip,
        "found": page,
        "at": at,
        "problem": problem or page.problem,
        "fields": {name: asked.query.get(name, "") for name in FIELDS},
        "is_filtered": any(asked.query.get(name) for name in FIELDS),
        "levels": LEVELS,
    }


def tail(asked: Asked) -> Response:
    """What was written since `?cursor=`: for the live view, as HTML of each line."""
    try:
        page = asked.site.monitor.logs.tail(asked.query.get("cursor") or None, wanted(asked))
    except ConfigError as error:
        return json_answer({"error": str(error)}, 400)
    row = template("log_line.html").module.row  # type: ignore[attr-defined]  # its macro
    return json_answer({
        "cursor": page.cursor,
        "busy": page.busy,
        "gone": page.gone,
        "lines": [str(row(linker(asked), line, line.cursor)) for line in reversed(page.lines)],
    })  # fmt: skip


def download(asked: Asked) -> Response:
    """What the page shows, up to a thousand lines, as JSON lines."""
    if asked.all_hosts:
        server, page, _ = hosts.log_page(asked, wanted(asked), MAX_DOWNLOAD)
        if server.problem:
            return json_answer({"error": server.problem}, 502)
    else:
        page = asked.site.monitor.logs.search(
            wanted(asked), cursor=asked.query.get("cursor") or None, limit=MAX_DOWNLOAD,
            budget_s=1.0,
        )  # fmt: skip
    body = b"".join(orjson.dumps(line.record) + b"\n" for line in page.lines)
    headers = {**HEADERS, "Content-Disposition": 'attachment; filename="log.ndjson"'}
    return Response(body, 200, headers, content_type="application/x-ndjson")


PAGE = AdminPage(
    path="/logs", name="logs", label="Logs", key="l", interval_s=0,
    description="Who said something then? The structured log, rotated files and stored errors.",
    read=read, template="logs.html", server=LOKI,
)  # fmt: skip
