"""What pages and endpoints show, handed in by telemetry; and how every answer of ours is sent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from flask import Response

from proletto_otel.core.config import Config
from proletto_otel.core.record import record
from proletto_otel.core.texts import readable
from proletto_otel.web.access import Access

if TYPE_CHECKING:
    from proletto_otel.alerts.notices import Notice
    from proletto_otel.alerts.silences import Silence
    from proletto_otel.core.metrics.registry import Family
    from proletto_otel.errors.groups import ErrorGroups
    from proletto_otel.health.states import CheckState, Transition
    from proletto_otel.logs.search.search import LogSearch
    from proletto_otel.logs.shared_levels import SharedLevels
    from proletto_otel.monitoring.overview import Overview, OverviewMark
    from proletto_otel.monitoring.report import Alert, ChannelReport, HealthReport
    from proletto_otel.request.readings import RequestExample, StatusCount
    from proletto_otel.request.request_points import EndpointPoint, LatencyHeatmap, RequestPoint
    from proletto_otel.request.top_callers import HourSection
    from proletto_otel.state.readings import Annotation, MetricPoint, WorkerLife
    from proletto_otel.state.store import Store
    from proletto_otel.state.thread_dumps import ThreadDumps
    from proletto_otel.web.all_hosts.backend import Backend
    from proletto_otel.web.audit import Audit
    from proletto_otel.web.live import LiveAnswer
    from proletto_otel.web.own_pages import MonitoringPage
    from proletto_otel.web.pages.retention import StoredKind
    from proletto_otel.web.stored_past import StoredPast

CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
PAGE_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": CSP,
    "X-Frame-Options": "DENY",
    # with `no-referrer` browsers send `Origin: null` with forms, and the Origin is checked
    "Referrer-Policy": "same-origin",
}
READING = ("GET", "HEAD")
FAMILIES_S = 0.5
"""As often as workers publish. Merging those of four takes 3 ms, a fifth of a page."""


class MonitorView(Protocol):
    """What is read from `monitoring.monitor`."""

    def get_system_metrics(self) -> Mapping[str, float | None]: ...
    def get_api_metrics(self) -> Mapping[str, Any]: ...
    def get_health(self) -> HealthReport: ...
    def get_check_states(self) -> Sequence[CheckState]: ...
    def get_alerts(self, firing: bool = False) -> Sequence[Alert]: ...
    def get_notices(self, limit: int = 100) -> Sequence[Notice]: ...
    def get_silences(self) -> Sequence[Silence]: ...
    def get_errors(self, limit: int = 50) -> Sequence[Mapping[str, Any]]: ...
    def history(self, metric: str, since: float = 3600.0) -> Sequence[tuple[float, float]]: ...
    def series(
        self, metric: str, start: float, end: float | None = None, points: int = 120
    ) -> Sequence[MetricPoint]: ...
    def request_series(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, points: int = 120, *, without_failed: bool = False,
    ) -> Sequence[RequestPoint]: ...  # fmt: skip
    def request_total(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, *, without_failed: bool = False,
    ) -> RequestPoint | None: ...  # fmt: skip
    def request_statuses(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None,
    ) -> Sequence[StatusCount]: ...  # fmt: skip
    def request_endpoints(
        self, start: float, end: float | None = None, points: int = 30, *,
        without_failed: bool = False,
    ) -> Sequence[EndpointPoint]: ...  # fmt: skip
    def latency_heatmap(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, columns: int = 60, *, without_failed: bool = False,
    ) -> LatencyHeatmap | None: ...  # fmt: skip
    def slowest_requests(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, limit: int = 20, *, least: float = 0.0,
        most: float | None = None,
    ) -> Sequence[RequestExample]: ...  # fmt: skip
    def failed_requests(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, limit: int = 20, *, least: float = 0.0,
        most: float | None = None,
    ) -> Sequence[RequestExample]: ...  # fmt: skip
    def stored_request(self, request_id: str) -> RequestExample | None: ...
    def annotations(
        self, start: float, end: float | None = None, kind: str | None = None
    ) -> Sequence[Annotation]: ...
    def get_workers(self) -> Sequence[WorkerLife]: ...
    def overview(self) -> Overview: ...
    def overview_mark(self) -> OverviewMark: ...
    @property
    def errors(self) -> ErrorGroups: ...
    @property
    def logs(self) -> LogSearch: ...
    @property
    def log_levels(self) -> SharedLevels | None: ...
    @property
    def thread_dumps(self) -> ThreadDumps | None: ...
    def health_history(self, check: str, since: float = 0.0) -> Sequence[Transition]: ...
    def silence(self, name: str, seconds: float, by: str, reason: str = "") -> Silence | None: ...
    def acknowledge(
        self, name: str, by: str, seconds: float = 14400.0, reason: str = ""
    ) -> Silence | None: ...
    def unsilence(self, name: str) -> bool: ...
    def get_channels(self) -> Sequence[ChannelReport]: ...
    def test_channel(self, name: str, by: str) -> None: ...


@record(frozen=True, slots=True, eq=False, repr=False)
class Page:
    """One admin page, or the JSON of one."""

    path: str
    """Below the prefix of the admin pages."""
    name: str
    view: Callable[..., Any]
    """Called with the site and what the path captured."""
    method: str = "GET"
    """`GET` (and `HEAD`), or `POST` for what changes something."""
    open_to: Callable[[Site], bool] | None = None
    """Says whether visitors who are not let in get it nevertheless: the login form, the assets."""


@record(kw_only=True, eq=False, repr=False)
class Site:
    """Everything the routes need; another set-up of the application (tests) fills it anew."""

    config: Config
    monitor: MonitorView
    access: Access

    exposition: Callable[[str], tuple[bytes | str, str]]
    """Takes the Accept header, returns the page of all workers' metrics and its content type."""

    status: Callable[[], Mapping[str, Any]]
    """What telemetry says about itself: sinks, queues, losses."""

    families: Callable[[], Sequence[Family]] = tuple
    """Every metric of all workers, merged."""

    one_reading: Callable[[], AbstractContextManager[None]] = nullcontext
    """Within it a page reads the numbers of all workers once, so that they are of one time."""

    published: Callable[[], Mapping[int, float]] = dict
    """When each worker measured what it published, unix seconds by process ID."""

    callers: Callable[[], Sequence[list[HourSection]]] = tuple
    """Users and clients that asked lately, of each worker."""

    stored_callers: Callable[[float, float], Sequence[HourSection]] = lambda start, end: ()
    """Those of the hours between two unix times, as they were stored."""

    store: Store | None = None
    """The host's store, for the audit; None: changes are in the log alone."""

    pages: Sequence[MonitoringPage] = ()
    """Pages of the application's own."""

    live: dict[tuple[str, ...], LiveAnswer] = field(default_factory=dict)
    """New values of the overview that other polls get, too."""

    kept: tuple[float, list[StoredKind]] = field(default_factory=lambda: (-math.inf, []))
    """What `pages.retention` counted, and when (monotonic)."""

    _audit: Audit | None = None
    _servers: Mapping[str, Backend] | None = None
    _past: StoredPast | None = None
    _families: tuple[float, Sequence[Family]] = (-FAMILIES_S, ())

    def recent_families(self) -> Sequence[Family]:
        """`families`, at most half a second old: one page reads them several times."""
        at, found = self._families
        if time.monotonic() - at > FAMILIES_S:
            found = self.families()
            self._families = (time.monotonic(), found)
        return found

    @property
    def servers(self) -> Mapping[str, Backend]:
        """Prometheus and Loki by name, where they are configured."""
        from proletto_otel.web.all_hosts.servers import servers

        if self._servers is None:
            self._servers = servers(self.config)
        return self._servers

    @property
    def past(self) -> StoredPast:
        """How far back the pages can look."""
        from proletto_otel.web.stored_past import StoredPast

        if self._past is None:
            self._past = StoredPast(self.monitor)
        return self._past

    @property
    def audit(self) -> Audit:
        """Where changes are written down; made with the first page."""
        from proletto_otel.web.audit import Audit

        if self._audit is None:
            self._audit = Audit(self.store)
        return self._audit


def json_answer(value: Any, status: int = 200, media_type: str = "application/json") -> Response:
    """Send *value*, dataclasses included, as JSON that nobody stores."""
    options = orjson.OPT_NON_STR_KEYS
    try:
        body = orjson.dumps(value, default=_as_json, option=options)
    except TypeError:  # a text that UTF-8 cannot carry: a look at each is left to this rare case
        body = orjson.dumps(_readable(value), default=_as_json, option=options)
    return Response(body, status, dict(HEADERS), content_type=media_type)


def text_answer(text: str, status: int) -> Response:
    """Send a short plain text."""
    return Response(readable(text), status, dict(HEADERS), content_type="text/plain; charset=utf-8")


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _readable(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {_readable(key): _readable(each) for key, each in value.items()}
    return [_readable(each) for each in value] if isinstance(value, (list, tuple)) else value


def _as_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
