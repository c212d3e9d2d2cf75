"""Statistics of routes beyond the histogram: last error, slowest requests, counts per minute.

Each process has its own and publishes them as one section of its snapshot; `merge` adds sections
up. `request.route_summary` joins them with the duration histogram for pages and thresholds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

from proletto_otel.core import exceptions
from proletto_otel.request import durations
from proletto_otel.request.durations import EDGES
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.span_encoding import clean_text

MAX_ROUTES = 2000
"""Routes with statistics of their own; the rest share one entry."""
MINUTES = 60
"""How far back the counts per minute go."""
SLOWEST = 5
"""Slow requests remembered per route; of an hour, and of the minute under way."""
FAILURES = 5
"""Failed requests remembered per route."""
LATELY_NS = 10_000_000_000
"""How long the slow requests of a minute stay after it: the leader asks every two seconds."""
RECENT_MINUTES = 6
"""Minutes with durations of their own: the window of five, and the one that is under way."""
MINUTE_NS = 60_000_000_000
RECENT_NS = MINUTES * MINUTE_NS
MAX_MESSAGE = 200


if TYPE_CHECKING:  # making such a class takes longer than importing a small module
    from typing import TypedDict

    class Slow(TypedDict):
        """A slow request and how to find it."""

        request_id: str
        duration_s: float
        status: int
        time_ns: int

    class LastError(TypedDict):
        """The latest failure of a route and how to find it."""

        request_id: str
        status: int
        error: str
        message: str
        time_ns: int

    class Failure(LastError):
        """A failed request."""

        duration_s: float

    class RouteSection(TypedDict):
        """One route's statistics as they travel between processes."""

        method: str
        route: str | None
        last_error: LastError | None
        slowest: list[Slow]
        lately: list[Slow]
        """The slowest of the minute that is under way, for the history of the host."""
        failures: list[Failure]
        """The latest failures, oldest first."""
        minutes: list[list[float]]
        """Unix minute, requests, failures, seconds in all; oldest first."""
        recent: list[durations.Minute]
        """Durations by unix minute, of the last six minutes that had any; oldest first."""
        older: durations.Sparse
        """Durations before them."""
        failed: durations.Sparse
        """Durations of those that failed, of all times."""


class RouteActivity:
    """What one route of this process remembers. `add` is called at the end of each request."""

    __slots__ = (
        "_durations", "_failed", "_floor", "_lately", "_lock", "_now", "_older", "_recent",
        "failures", "last_error", "method", "minutes", "route", "slowest",
    )  # fmt: skip

    def __init__(self, method: str, route: str | None) -> None:
        self.method = method
        self.route = route
        self.reset()

    def reset(self) -> None:
        """Begin again, with a fresh lock."""
        self._lock = Lock()
        self.last_error: LastError | None = None
        self.slowest: list[Slow] = []
        self._lately: list[Slow] = []
        self.failures: deque[Failure] = deque(maxlen=FAILURES)
        self.minutes: deque[list[float]] = deque(maxlen=MINUTES)
        self._now: list[float] = [0, 0, 0, 0.0]
        self._durations = durations.empty()
        self._recent: deque[durations.Minute] = deque()
        self._older: dict[str, int] = {}
        self._failed = durations.empty()
        self._floor = 0.0

    def add(self, exchange: Exchange, failed: bool) -> None:
        """Count a finished request."""
        minute = exchange.end_ns // MINUTE_NS
        now = self._now
        if minute != now[0]:
            now = self._next(minute)
        # Without a lock: the deferred writer and failing requests both come here, and an addition
        # to an item of a list is not interrupted, because CPython switches threads only at calls
        # and jumps back. The lock is for what replaces the lists: a new minute, a slow request.
        now[1] += 1
        if failed:
            now[2] += 1
            self.last_error = error = _last_error(exchange)
            self.failures.append({**error, "duration_s": exchange.duration_s})
        if exchange.streams:  # how long somebody listened is no latency
            return
        duration = exchange.duration_s
        now[3] += duration
        in_bucket = bisect_left(EDGES, duration)
        self._durations[in_bucket] += 1  # no call in between either
        if failed:
            self._failed[in_bucket] += 1
        # The floor is the fastest of the slowest: most requests end with this one comparison
        if duration > self._floor:
            self._slow(exchange)

    def section(self) -> RouteSection:
        """A copy that can be written as JSON."""
        with self._lock:
            now = [[self._now[0], durations.sparse(self._durations)]] if self._now[0] else []
            return {
                "method": self.method,
                "route": self.route,
                "last_error": self.last_error,
                "slowest": list(self.slowest),
                "lately": list(self._lately),
                "failures": list(self.failures),
                "minutes": [list(m) for m in self.minutes],
                "recent": [*self._recent, *now],
                "older": dict(self._older),
                # most routes never failed: nothing to look through
                "failed": durations.sparse(self._failed) if self.last_error else {},
            }

    def _next(self, minute: int) -> list[float]:
        with self._lock:
            if self._now[0] != minute:
                ended, counts = int(self._now[0]), self._durations
                self._now = [minute, 0, 0, 0.0]
                self.minutes.append(self._now)
                self._durations = durations.empty()
                if ended:
                    # Nobody counts in it any more: what is published of it is made once.
                    self._recent.append([ended, durations.sparse(counts)])
                while len(self._recent) >= RECENT_MINUTES:
                    self._older = durations.added((self._older, self._recent.popleft()[1]))
                oldest = (minute - MINUTES) * MINUTE_NS
                self._remember(
                    [s for s in self.slowest if s["time_ns"] >= oldest],
                    _lately(self._lately, minute),
                )
            return self._now

    def _slow(self, exchange: Exchange) -> None:
        made: Slow = {
            "request_id": exchange.request_id,
            "duration_s": exchange.duration_s,
            "status": exchange.status,
            "time_ns": exchange.end_ns,
        }
        with self._lock:
            self._remember(_slowest([*self.slowest, made]), _slowest([*self._lately, made]))

    def _remember(self, slowest: list[Slow], lately: list[Slow]) -> None:
        self.slowest, self._lately = slowest, lately
        is_full = len(slowest) >= SLOWEST <= len(lately)
        self._floor = min(slowest[-1]["duration_s"], lately[-1]["duration_s"]) if is_full else 0.0


def _last_error(exchange: Exchange) -> LastError:
    error = exchange.exception
    facts = exceptions.describe(error) if error is not None else None
    message = clean_text(facts.message)[:MAX_MESSAGE] if facts else ""
    return {
        "request_id": exchange.request_id,
        "status": exchange.status,
        "error": facts.type if facts else str(exchange.status),
        "message": message,
        "time_ns": exchange.end_ns,
    }


def _slowest(found: Iterable[Slow]) -> list[Slow]:
    return sorted(found, key=lambda s: -s["duration_s"])[:SLOWEST]


def _lately(found: list[Slow], minute: int = 0) -> list[Slow]:
    """The slowest of the minute under way: *minute*, or the newest there is."""
    newest = max((s["time_ns"] // MINUTE_NS for s in found), default=0)
    first = max(newest, minute) * MINUTE_NS - LATELY_NS
    return _slowest(s for s in found if s["time_ns"] >= first)


class RouteStats:
    """The statistics of all routes of this process."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str | None], RouteActivity] = {}
        self._rest = RouteActivity("_OTHER", None)

    def stats(self, method: str, route: str | None) -> RouteActivity:
        """The entry of a route; it stays valid for ever."""
        found = self._routes.get((method, route))
        if found is not None:
            return found
        if len(self._routes) >= MAX_ROUTES:
            return self._rest
        return self._routes.setdefault((method, route), RouteActivity(method, route))

    def section(self) -> list[RouteSection]:
        """All routes that were asked for, for this process's snapshot."""
        entries = [*self._routes.values(), self._rest]
        return [s for s in (e.section() for e in entries) if s["minutes"]]

    def reset(self) -> None:
        """Begin again (after a fork, between tests)."""
        for entry in [*self._routes.values(), self._rest]:
            entry.reset()


def merge(sections: Iterable[list[RouteSection]]) -> list[RouteSection]:
    """Add up the sections of several processes, dead ones included."""
    merged: dict[tuple[str, str | None], RouteSection] = {}
    for section in sections:
        for entry in section:
            key = (entry["method"], entry["route"])
            merged[key] = _joined(merged[key], entry) if key in merged else entry
    return list(merged.values())


def _joined(a: RouteSection, b: RouteSection) -> RouteSection:
    errors = [e for e in (a["last_error"], b["last_error"]) if e is not None]
    minutes: dict[float, list[float]] = {}
    for minute, *counts in [*a["minutes"], *b["minutes"]]:
        before = minutes.get(minute, [minute, 0, 0, 0.0])[1:]
        minutes[minute] = [minute, *(x + y for x, y in zip(before, counts, strict=True))]
    # by the newest, not by the clock: a host without requests for an hour still shows its last ones
    newest = max((s["time_ns"] for s in [*a["slowest"], *b["slowest"]]), default=0)
    slowest = [s for s in [*a["slowest"], *b["slowest"]] if s["time_ns"] > newest - RECENT_NS]
    failures = [*a.get("failures", ()), *b.get("failures", ())]
    # what another release wrote has no durations
    recent = durations.by_minute([*a.get("recent", ()), *b.get("recent", ())])
    gone = [found for _, found in recent[:-RECENT_MINUTES]]
    return {
        "method": a["method"],
        "route": a["route"],
        "last_error": max(errors, key=lambda e: e["time_ns"], default=None),
        "slowest": _slowest(slowest),
        "lately": _lately([*a.get("lately", ()), *b.get("lately", ())]),
        "failures": sorted(failures, key=lambda e: (e["time_ns"], e["request_id"]))[-FAILURES:],
        "minutes": [minutes[m] for m in sorted(minutes)][-MINUTES:],
        "recent": recent[-RECENT_MINUTES:],
        "older": durations.added((a.get("older", {}), b.get("older", {}), *gone)),
        "failed": durations.added((a.get("failed", {}), b.get("failed", {}))),
    }
