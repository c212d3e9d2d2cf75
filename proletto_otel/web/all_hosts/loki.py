"""The log of all hosts, as Loki answers: the same search and the same lines as of this host."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from proletto_otel.core import conventions as c
from proletto_otel.core.conventions import label_name
from proletto_otel.logs.search.level_counts import LevelCounts
from proletto_otel.logs.search.query import Matcher
from proletto_otel.logs.search.results import LogLine, LogPage
from proletto_otel.logs.search.took import shown
from proletto_otel.logs.sinks.otlp import SEVERITIES
from proletto_otel.web.all_hosts.promql import quoted

if TYPE_CHECKING:
    from proletto_otel.core.config import Config
    from proletto_otel.logs.search.query import LogQuery
    from proletto_otel.web.all_hosts.backend import Backend

DEFAULT_S = 86_400.0
"""How far a search without a time range goes back."""
CURSOR = "ns"
"""What a position in Loki's log begins with; the rest is unix nanoseconds."""
OURS = {
    label_name(c.LOGGER_NAME): c.LOGGER_NAME,
    label_name(c.REQUEST_ID): c.REQUEST_ID,
    label_name(c.FINGERPRINT): c.LOG_FINGERPRINT,
    label_name(c.USER): c.USER,
    label_name(c.COMPONENT): c.COMPONENT,
    label_name(c.TRACE_ID): c.TRACE_ID,
    label_name(c.SPAN_ID): c.SPAN_ID,
    label_name(c.HOST_NAME): "host",
}
"""Fields of a line by Loki's names for them."""
SHOWN_ELSEWHERE = re.compile(
    r"(service|deployment|telemetry|process|code|exception|severity|observed|detected|scope)_"
)
"""What says nothing about the line itself, or stands in a field of its own."""
TOOK = label_name(c.ACCESS_DURATION_MS)
LEVEL = "severity_text"
"""Loki's name for the level of a line."""
LEAST_STEP_S = 5
"""Of a bar."""
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL"}
"""Python's names of levels, where OpenTelemetry has another."""


def search(backend: Backend, config: Config, query: LogQuery, cursor: str, limit: int) -> LogPage:
    """Lines that match, newest first.

    Raises:
        ConfigError: for an unknown level or a regular expression that is refused.
        NoAnswer: with the reason.
    """
    matcher = Matcher(query)
    began, now = time.monotonic(), time.time()
    until = min(_position(cursor) or now, query.until or now)
    # whole seconds, so that pages that ask at the same time share an answer
    since = int(query.since if query.since is not None else now - DEFAULT_S)
    asked = {
        "query": logql(config, query, matcher.min_level),
        "start": since * 10**9,
        "end": cursor.removeprefix(CURSOR) if cursor else (int(until) + 1) * 10**9,
        "limit": limit,
        "direction": "backward",
    }
    lines = backend.ask((f"/loki/api/v1/query_range?{urlencode(asked)}",), _lines)
    complete = len(lines) < limit
    return LogPage(
        lines=lines,
        cursor=None if complete else lines[-1].cursor,
        searched_back_to=since if complete else lines[-1].at,
        took_ms=(time.monotonic() - began) * 1000,
    )


def level_counts(
    backend: Backend, config: Config, start: float, end: float, bars: int, until: float
) -> LevelCounts:
    """How many lines of each level were written when.

    Args:
        backend: The server.
        config: Which service.
        start: Unix seconds.
        end: Unix seconds.
        bars: How many at most.
        until: `Backend.deadline` of the page: it goes without them then.

    Raises:
        NoAnswer: with the reason.
    """
    # whole multiples of the step, so that pages that ask at the same time share an answer
    step = max(-int(-(end - start) // (bars - 1)), LEAST_STEP_S)
    begin = int(start // step * step)
    number = int((end - begin) // step) + 1
    asked = {
        "query": f"sum by ({LEVEL}) (count_over_time({_stream(config)}[{step}s]))",
        # a value is about the time before it
        "start": begin + step,
        "end": begin + number * step,
        "step": step,
    }
    return backend.ask(
        (f"/loki/api/v1/query_range?{urlencode(asked)}",),
        lambda results: _counts(results[0], begin, step, number),
        extra_until=until,
    )


def newest_line(backend: Backend, config: Config, until: float) -> float | None:
    """When the newest line of this service was written, unix seconds; None: none of the last day.

    Args:
        backend: The server.
        config: Which service.
        until: `Backend.deadline` of the page: it goes without it then.

    Raises:
        NoAnswer: with the reason.
    """
    end = int(time.time()) + 1
    asked = {
        "query": _stream(config), "start": (end - int(DEFAULT_S)) * 10**9, "end": end * 10**9,
        "limit": 1, "direction": "backward",
    }  # fmt: skip
    lines = backend.ask(
        (f"/loki/api/v1/query_range?{urlencode(asked)}",), _lines, extra_until=until
    )
    return lines[0].at if lines else None


def _counts(result: Iterable[Any], begin: int, step: int, number: int) -> LevelCounts:
    counts = LevelCounts.empty(begin, begin + number * step, number)
    for found in result:
        level = found["metric"].get(LEVEL, "")
        bars = counts.counts.get(_LEVELS.get(level, level))
        if bars is None:  # a line that another program sent
            continue
        for at, n in found["values"]:
            which = round((float(at) - begin) / step) - 1
            if 0 <= which < number:
                lines = int(float(n))
                bars[which] += lines
    return counts


def _position(cursor: str) -> float | None:
    """Unix seconds of a position.

    Raises:
        ValueError: it is none.
    """
    return int(cursor.removeprefix(CURSOR)) / 1e9 if cursor else None


def is_position(cursor: str) -> bool:
    """Whether *cursor* is a position in Loki's log."""
    return re.fullmatch(rf"{CURSOR}\d{{1,19}}", cursor) is not None


def logql(config: Config, query: LogQuery, min_level: int) -> str:
    """*query* in Loki's language."""
    return " ".join([_stream(config), *_filters(query, min_level)])


def _stream(config: Config) -> str:
    """The lines of this service in this environment."""
    labels = {
        c.SERVICE_NAME: config.service_name,
        c.DEPLOYMENT_ENVIRONMENT_NAME: config.environment,
    }
    selected = ", ".join(f"{label_name(k)}={quoted(v)}" for k, v in labels.items())
    return f"{{{selected}}}"


def _filters(query: LogQuery, min_level: int) -> Iterator[str]:
    if query.text.strip():
        yield f"|~ {quoted('(?i)' + re.escape(query.text.strip()))}"
    if query.pattern:
        yield f"|~ {quoted(query.pattern)}"
    if min_level:
        number = min((n for level, (n, _) in SEVERITIES.items() if level >= min_level), default=24)
        yield f"| severity_number >= {number}"
    if query.logger:
        yield f"| {label_name(c.LOGGER_NAME)}=~{quoted(re.escape(query.logger) + '([.].*)?')}"
    if query.identifier:
        names = (c.REQUEST_ID, c.TRACE_ID, c.FINGERPRINT)
        yield "| " + " or ".join(f"{label_name(n)}={quoted(query.identifier)}" for n in names)
    for sign, bound in ((">=", query.duration_min), ("<=", query.duration_max)):
        if bound is not None:
            yield f"| {TOOK} {sign} {shown(bound)}"
    if query.duration_min is not None or query.duration_max is not None:
        yield '| __error__=""'  # what is no number passes a comparison, marked as an error
    for name, value in ((c.COMPONENT, query.component), (c.USER, query.user)):
        if value:
            yield f"| {label_name(name)}={quoted(value)}"


def _lines(results: list[Any]) -> tuple[LogLine, ...]:
    found = [
        (int(at_ns), _line(int(at_ns), text, stream["stream"]))
        for stream in results[0]
        for at_ns, text, *_ in stream["values"]
    ]
    return tuple(line for _, line in sorted(found, key=lambda item: -item[0]))


def _number(text: str) -> float | str:
    """A label as the number that was logged; every label is a text."""
    try:
        return float(text)
    except ValueError:
        return text


def _line(at_ns: int, text: str, labels: Mapping[str, str]) -> LogLine:
    """A line with the names that it has in the structured file."""
    message, _, rest = text.partition("\n")
    level = labels.get(LEVEL, "")
    record: dict[str, Any] = {c.LEVEL: _LEVELS.get(level, level), c.MESSAGE: message}
    for name, value in labels.items():
        if name in OURS:
            record[OURS[name]] = value
        elif name == TOOK:
            record[c.ACCESS_DURATION_MS] = _number(value)
        elif not SHOWN_ELSEWHERE.match(name) and name not in ("flags", "instance"):
            record[name] = value
    kind = labels.get(label_name(c.EXCEPTION_TYPE))
    if kind:
        record[c.EXCEPTION] = {
            "type": kind,
            "message": labels.get(label_name(c.EXCEPTION_MESSAGE), ""),
            "traceback": rest.splitlines(),
        }
    elif rest:
        record[c.MESSAGE] = text
    return LogLine(
        at=at_ns / 1e9, record=record, cursor=f"{CURSOR}{at_ns}",
        file=labels.get(label_name(c.HOST_NAME), ""),
    )  # fmt: skip
