"""The prepared overview: everything the first page shows, made once and read by every worker.

While somebody looks, the leader makes it when requests were recorded, at least every other second,
and stores it as one row, so that a page that asks whether something changed costs one look-up by
primary key in whichever worker it asks. The first look makes it where it is asked. Processes with
other registrations prepare their own (`monitoring.shares`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import orjson

from proletto_otel.core.internal_errors import count_failure
from proletto_otel.monitoring.report import Alert, CheckReport
from proletto_otel.request.request_points import RequestPoint
from proletto_otel.state.readings import MetricPoint
from proletto_otel.state.store import Store, StoreUnavailable

DDL = (
    "CREATE TABLE IF NOT EXISTS overviews (id TEXT PRIMARY KEY, generation INTEGER NOT NULL,"
    " at REAL NOT NULL, body BLOB NOT NULL)",
    # A table of its own: an earlier release, whose workers may run beside ours, made the one above.
    "CREATE TABLE IF NOT EXISTS overview_verdicts (id TEXT PRIMARY KEY, at REAL NOT NULL,"
    " verdict TEXT NOT NULL)",
)
FAILING_PERCENT = 1.0
"""From this share of failed requests on in five minutes the page shows it in red."""
OLD_S = 10.0
"""Age at which whoever asks makes it anew: nobody looked until now, or the leader is stuck."""
FORGET_S = 3600.0
"""Age at which the overview of processes that are gone is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewMetric:
    """A metric of the system now and in the last hour."""

    metric: str
    title: str
    unit: str
    value: float | None
    warning: float | None
    """The threshold's limits, if there is one."""
    critical: float | None
    points: tuple[MetricPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """A worker that lives."""

    pid: int
    host: str
    version: str
    started: float
    """Unix seconds."""
    memory_bytes: float | None
    threads: float | None
    open_files: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployReport:
    """What changed since the last deploy: as long a time before as after it, at most an hour."""

    version: str
    at: float
    """When its first worker started, unix seconds."""
    before: RequestPoint
    after: RequestPoint
    new_errors: int
    """Error groups that were first seen since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The service at one glance."""

    service: str = ""
    environment: str = ""
    version: str = ""
    """The version that was deployed last; empty where none is set."""
    host: str = ""
    generation: int = 0
    """Grows with each preparation."""
    prepared_at: float = 0.0
    """Unix seconds; 0: nothing is prepared."""
    reason: str = ""
    """Why nothing, or nothing of all workers, is here; empty when all is well."""
    status: str = "unknown"
    """`healthy`, `degraded` or `unhealthy`."""
    ready: bool = False
    recent: RequestPoint | None = None
    """The last five minutes in one."""
    hour: RequestPoint | None = None
    """The last hour in one."""
    requests: tuple[RequestPoint, ...] = ()
    """The last hour by the minute."""
    system: tuple[OverviewMetric, ...] = ()
    """CPU, memory and disk."""
    alerts: tuple[Alert, ...] = ()
    """Those that fire, are pending, or that nobody evaluates; worst first."""
    checks: tuple[CheckReport, ...] = ()
    unevaluated: tuple[str, ...] = ()
    workers: tuple[WorkerReport, ...] = ()
    deploy: DeployReport | None = None
    errors: tuple[Mapping[str, Any], ...] = ()
    """The latest five groups of errors."""

    @property
    def age_s(self) -> float:
        """Seconds since it was prepared; 0 where nothing is."""
        return max(0.0, time.time() - self.prepared_at) if self.prepared_at else 0.0

    @property
    def etag(self) -> str:
        """Differs whenever the content does."""
        return f"{self.generation}-{int(self.prepared_at * 1000)}"

    @property
    def failing(self) -> bool:
        """Whether so many requests failed lately that it is shown in red."""
        recent = self.recent
        return bool(recent and 100 * recent.errors >= FAILING_PERCENT * recent.count > 0)

    @property
    def verdict(self) -> str:
        """Differs when what people must see at once does: the health, and what fires."""
        alerts = [(a.name, a.state, a.severity, a.acknowledged_by) for a in self.alerts]
        what = (self.status, self.ready, self.failing, self.version, self.unevaluated, alerts)
        return hashlib.blake2b(repr(what).encode(), digest_size=6).hexdigest()

    @property
    def seen(self) -> str:
        """What an open page has seen: the ETag of its cards begins with it."""
        return f"{self.verdict}.{int(1000 * self.prepared_at)}."


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewMark:
    """What a poll compares, without reading the overview."""

    etag: str = ""
    """As `Overview.etag`; empty: nothing is prepared."""
    prepared_at: float = 0.0
    verdict: str = ""
    """As `Overview.verdict`; empty where another release prepared it."""


class OverviewStore:
    """Writes and reads the prepared overviews.

    Args:
        store: The host's store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        store.define(*DDL)

    def write(self, group: str, overview: Overview) -> None:
        """Store what processes with the registrations *group* show."""
        body = orjson.dumps(overview, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
        try:
            with self._store.transaction() as db:
                db.execute(
                    "INSERT INTO overviews VALUES (?, 1, ?, ?) ON CONFLICT (id) DO UPDATE"
                    " SET generation = generation + 1, at = excluded.at, body = excluded.body",
                    (group, overview.prepared_at, body),
                )
                db.execute(
                    "INSERT OR REPLACE INTO overview_verdicts VALUES (?, ?, ?)",
                    (group, overview.prepared_at, overview.verdict),
                )
                for table in ("overviews", "overview_verdicts"):
                    forgotten = overview.prepared_at - FORGET_S
                    db.execute(f"DELETE FROM {table} WHERE at < ?", (forgotten,))
        except StoreUnavailable:
            return

    def mark(self, group: str) -> OverviewMark:
        """What is known of what `read` would return, without reading it."""
        row = self._row("generation, overviews.at AS at, verdict", group)
        if row is None:
            return OverviewMark()
        etag = Overview(generation=row["generation"], prepared_at=row["at"]).etag
        return OverviewMark(etag=etag, prepared_at=row["at"], verdict=row["verdict"] or "")

    def read(self, group: str) -> Overview:
        """What is prepared; where that is nothing, an empty overview that says why."""
        row = self._row("generation, body", group)
        if row is None:
            return Overview(reason=self._store.last_error or "nothing is prepared yet")
        try:
            data = orjson.loads(row["body"])
            data |= {"generation": row["generation"], "reason": self._why_alone()}
            return _overview(data)
        except (ValueError, TypeError, KeyError) as error:  # written by another release
            count_failure("overview.read", error)
            return Overview(reason="prepared by another release")

    def _why_alone(self) -> str:
        return "" if self._store.shared else self._store.last_error or "only this process is known"

    def _row(self, columns: str, group: str) -> Any:
        # A process that has not registered yet, or stands alone, is shown the newest one.
        found = (
            f"SELECT {columns} FROM overviews LEFT JOIN overview_verdicts v"
            " ON v.id = overviews.id AND v.at = overviews.at"
        )
        rows = self._store.query(f"{found} WHERE overviews.id = ?", (group,)) or self._store.query(
            f"{found} ORDER BY overviews.at DESC LIMIT 1"
        )
        return rows[0] if rows else None


def _overview(data: dict[str, Any]) -> Overview:
    made = _known(Overview, data)
    for name in ("recent", "hour"):
        made[name] = RequestPoint(**data[name]) if data[name] else None
    made["requests"] = tuple(RequestPoint(**p) for p in data["requests"])
    made["alerts"] = tuple(Alert(**_known(Alert, a)) for a in data["alerts"])
    made["checks"] = tuple(CheckReport(**_known(CheckReport, c)) for c in data["checks"])
    made["unevaluated"] = tuple(data["unevaluated"])
    made["workers"] = tuple(WorkerReport(**_known(WorkerReport, w)) for w in data["workers"])
    made["errors"] = tuple(data["errors"])
    made["system"] = tuple(_metric(m) for m in data["system"])
    made["deploy"] = _deploy(data["deploy"]) if data["deploy"] else None
    return Overview(**made)


def _metric(data: dict[str, Any]) -> OverviewMetric:
    points = tuple(MetricPoint(**p) for p in data["points"])
    return OverviewMetric(**_known(OverviewMetric, data) | {"points": points})


def _deploy(data: dict[str, Any]) -> DeployReport:
    spans = {name: RequestPoint(**data[name]) for name in ("before", "after")}
    return DeployReport(**_known(DeployReport, data) | spans)


def _known(of: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that this release has: another one may have written more."""
    return {field.name: data[field.name] for field in fields(of) if field.name in data}


def worst_first(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """The alerts that somebody should know of."""
    return tuple(alert for alert in alerts if alert.state != "ok")
