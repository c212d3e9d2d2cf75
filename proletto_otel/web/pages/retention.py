"""What is stored of the past, of each kind: for how long, how much of it now, and at most how much.

The limits are those of the parts that store it; this page only names them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proletto_otel.alerts.store import MAX_EVENTS
from proletto_otel.core.texts import human_duration
from proletto_otel.errors import group_rows, tables
from proletto_otel.health import store as health
from proletto_otel.request import (
    caller_history,
    request_days,
    request_examples,
    request_history,
    top_callers,
)
from proletto_otel.state import history, thread_dumps, worker_lives
from proletto_otel.web import audit, figures

if TYPE_CHECKING:
    from proletto_otel.state.store import Store
    from proletto_otel.web.site import Site

FRESH_S = 60.0
"""Counting reads every table: a page that refreshes shows figures so old."""
INDEX = "log_index"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKind:
    """One kind of data."""

    kind: str
    kept: str
    """For how long."""
    now: str
    """How much of it is stored."""
    limit: str
    """At most so much."""


def retention(site: Site) -> list[StoredKind]:
    """Every kind; at most a minute old."""
    at, found = site.kept
    if time.monotonic() - at > FRESH_S:
        found = [*_rows(site), *_files(site)]
        site.kept = (time.monotonic(), found)
    return found


def _rows(site: Site) -> Iterable[StoredKind]:
    store = site.store
    if store is None:
        return
    samples = site.config.monitor_max_samples
    yield _kind("Metrics, every sample", f"the last {samples:,} of a metric",
                _count(store, "samples"), samples * history.MAX_METRICS)  # fmt: skip
    points = _by_tier(store, "metric_points")
    for seconds, kept_s in history.TIERS:
        yield _kind(f"Metrics, {_each(seconds)}", human_duration(kept_s),
                    points.get(seconds, 0), history.MAX_METRICS * kept_s // seconds)  # fmt: skip
    points = _by_tier(store, "request_points")
    callers_s = int(site.config.top_callers_days * caller_history.DAY_S)
    days = (request_history.DAY_S, request_days.KEPT_S)
    for seconds, kept_s in (*request_history.TIERS, days):
        most = request_history.MAX_PER_BUCKET * kept_s // seconds
        yield _kind(
            f"Requests, {_each(seconds)}", human_duration(kept_s), points.get(seconds, 0), most
        )
    for kind, kept, table, most in (
        ("Durations of failed requests", "as their requests", "request_failures", sum(
            request_history.MAX_PER_BUCKET * kept_s // s for s, kept_s in request_history.TIERS)),
        ("Status codes of requests", "as their requests", "request_codes", sum(
            request_history.MAX_PER_BUCKET * kept_s // s for s, kept_s in request_history.TIERS)),
        ("Slowest and failed requests", human_duration(request_examples.KEPT_S),
         "request_examples", request_examples.MAX_ROWS),
        ("Users and clients, each hour", human_duration(callers_s) if callers_s else "not counted",
         "caller_hours", callers_s // top_callers.HOUR_S + 1 if callers_s else 0),
        ("Groups of errors", "the quietest go first", "error_groups", group_rows.MAX_GROUPS),
        ("Errors, each minute", human_duration(tables.MINUTES_S), "error_minutes",
         tables.MAX_MINUTE_ROWS),
        ("Errors, each hour", human_duration(tables.HOURS_S), "error_hours", tables.MAX_HOUR_ROWS),
        ("Affected users", "as their group", "error_users", tables.MAX_USER_ROWS),
        ("Changes of health", human_duration(health.RETENTION_S), "health_transitions",
         health.MAX_TRANSITIONS),
        ("Notices of alerts", "the latest", "alert_events", MAX_EVENTS),
        ("Lives of workers", "the latest", "worker_lives", worker_lives.MAX_LIVES),
        ("Changes on these pages", "the latest", "admin_audit", audit.MAX_ROWS),
        ("Threads of workers", human_duration(thread_dumps.KEPT_S), "thread_dumps",
         thread_dumps.MAX_DUMPS),
    ):  # fmt: skip
        yield _kind(kind, kept, _count(store, table), most)
    totals = site.monitor.errors.totals()
    yield StoredKind(
        kind="Occurrences of errors", kept="first and last of a group stay, the rest is thinned",
        now=f"{totals.stored:,} ({figures.size(totals.stored_bytes)})",
        limit=figures.size(totals.max_bytes),
    )  # fmt: skip


def _files(site: Site) -> Iterable[StoredKind]:
    config = site.config
    days = config.log_retention_days
    kept = human_duration(days * 86_400) if days else "as many files as fit"
    if config.log_files:
        name = f"{config.app_name}_structured.json"
        yield StoredKind(
            kind="Structured log", kept=kept,
            now=figures.size(_bytes(Path(config.log_dir).glob(f"{name}*"))),
            limit=figures.size(config.log_json_max_bytes * (config.log_backups + 1)),
        )  # fmt: skip
    state = site.status().get("state_dir")
    if state:
        yield StoredKind(
            kind="Index of the log", kept="as its file",
            now=figures.size(_bytes((Path(str(state)) / INDEX).glob("*"))), limit="–",
        )  # fmt: skip


def _kind(kind: str, kept: str, rows: int, most: int) -> StoredKind:
    return StoredKind(
        kind=kind,
        kept=kept,
        now=f"{rows:,} {'row' if rows == 1 else 'rows'}",
        limit=f"{most:,} rows",
    )


def _count(store: Store, table: str) -> int:
    found = store.query(f"SELECT count(*) FROM {table}") if _exists(store, table) else []
    return int(found[0][0]) if found else 0


def _by_tier(store: Store, table: str) -> dict[int, int]:
    if not _exists(store, table):
        return {}
    rows = store.query(f"SELECT tier, count(*) AS n FROM {table} GROUP BY tier")
    return {int(row["tier"]): int(row["n"]) for row in rows}


def _exists(store: Store, table: str) -> bool:
    """Whether some part has made its table: they are made when they are needed."""
    return bool(store.query("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)))


def _bytes(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:  # rotated away meanwhile
            continue
    return total


def _each(seconds: int) -> str:
    words = {60: "minute", 86_400: "day"}
    return f"each {words.get(seconds) or human_duration(seconds)}"
