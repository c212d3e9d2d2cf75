"""What `monitor` tells about the past: charts, endpoints, deploys, the prepared overview."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proletto_otel.monitoring.registrations import Registrations

if TYPE_CHECKING:
    from proletto_otel.monitoring.overview import Overview, OverviewMark
    from proletto_otel.monitoring.runtime import Runtime
    from proletto_otel.request.readings import RequestExample, StatusCount
    from proletto_otel.request.request_points import EndpointPoint, LatencyHeatmap, RequestPoint
    from proletto_otel.state.readings import Annotation, MetricPoint, WorkerLife

HOUR_S = 3600.0


class PastReads(Registrations):
    """Reads of what the leader stored, by name of what was registered."""

    def live(self) -> Runtime | None:
        """What runs, started now if it waits to be; None before telemetry is set up."""
        return None

    def history(self, metric: str, since: float = HOUR_S) -> list[tuple[float, float]]:
        """Past values of *metric* as (unix time in seconds, value), oldest first.

        Args:
            metric: as for `register_threshold`.
            since: seconds back from now; values above 1e9 are unix times.

        Raises:
            ConfigError: for an unknown metric.
        """
        self.known(metric)
        begin = since if since > 1e9 else time.time() - since
        return runtime.past.samples(metric, begin) if (runtime := self.live()) is not None else []

    def series(
        self, metric: str, start: float, end: float | None = None, points: int = 120
    ) -> tuple[MetricPoint, ...]:
        """The past of *metric* as a chart draws it: lowest, highest and mean of each bucket.

        Where nothing was measured there is no point. A minute is kept for a day, a quarter of an
        hour for 30 days, two hours for a year (the built-in metrics alone).

        Args:
            metric: as for `register_threshold`.
            start: unix seconds.
            end: unix seconds; None: now.
            points: how many at most.

        Raises:
            ConfigError: for an unknown metric.
        """
        self.known(metric)
        live = self.live()
        return live.past.metric(metric, start, _end(end), points) if live is not None else ()

    def request_series(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, points: int = 120, *, without_failed: bool = False,
    ) -> tuple[RequestPoint, ...]:  # fmt: skip
        """Counts, failures and durations of the requests of all workers, by time.

        Args:
            start: unix seconds.
            end: unix seconds; None: now.
            route: this template only; empty: requests that no route matched; None: all of the
                application's, without probes and admin pages.
            method: this method only.
            points: how many at most.
            without_failed: durations of those alone that did not fail; counts stay those of all.
        """
        live = self.live()
        asked = (start, _end(end), route, method, points)
        return live.past.requests.points(*asked, without_failed=without_failed) if live else ()

    def request_total(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, *, without_failed: bool = False,
    ) -> RequestPoint | None:  # fmt: skip
        """As `request_series`, all in one; None before telemetry is set up."""
        live = self.live()
        asked = (start, _end(end), route, method)
        return live.past.requests.total(*asked, without_failed=without_failed) if live else None

    def request_statuses(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None,
    ) -> tuple[StatusCount, ...]:  # fmt: skip
        """Requests of a time by exact status code; arguments as for `request_series`."""
        live = self.live()
        return live.past.requests.statuses(start, _end(end), route, method) if live else ()

    def request_endpoints(
        self, start: float, end: float | None = None, points: int = 30, *,
        without_failed: bool = False,
    ) -> tuple[EndpointPoint, ...]:  # fmt: skip
        """Every endpoint that was asked in a time, the busiest first, each with a small curve."""
        live = self.live()
        asked = (start, _end(end), points)
        return live.past.requests.endpoints(*asked, without_failed=without_failed) if live else ()

    def latency_heatmap(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, columns: int = 60, *, without_failed: bool = False,
    ) -> LatencyHeatmap | None:  # fmt: skip
        """How many requests took how long, by time; None before telemetry is set up."""
        live = self.live()
        asked = (start, _end(end), route, method, columns)
        return live.past.requests.heatmap(*asked, without_failed=without_failed) if live else None

    def slowest_requests(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, limit: int = 20, *, least: float = 0.0,
        most: float | None = None,
    ) -> tuple[RequestExample, ...]:  # fmt: skip
        """The slowest requests of a time with their IDs: five of each route and hour are stored.

        Args:
            start: unix seconds.
            end: unix seconds; None: now.
            route: this template only; empty: requests that no route matched.
            method: this method only.
            limit: at most 500.
            least: only those that a heat map shows as of so many seconds, or more.
            most: only those that it shows as of less seconds; None: any.
        """
        live = self.live()
        asked = (start, _end(end), route, method, limit, least, most)
        return live.past.examples.read(0, *asked) if live else ()

    def failed_requests(
        self, start: float, end: float | None = None, route: str | None = None,
        method: str | None = None, limit: int = 20, *, least: float = 0.0,
        most: float | None = None,
    ) -> tuple[RequestExample, ...]:  # fmt: skip
        """The requests that failed last, with their IDs; stored and asked as the slowest ones."""
        live = self.live()
        asked = (start, _end(end), route, method, limit, least, most)
        return live.past.examples.read(1, *asked) if live else ()

    def stored_request(self, request_id: str) -> RequestExample | None:
        """One of the slowest or failed requests by its ID; None where it is not stored."""
        live = self.live()
        return live.past.examples.find(request_id) if live else None

    def annotations(
        self, start: float, end: float | None = None, kind: str | None = None
    ) -> tuple[Annotation, ...]:
        """Deploys, and workers that started or ended, oldest first; the latest 500 at most.

        Args:
            start: unix seconds.
            end: unix seconds; None: now.
            kind: `deploy`, `worker_started` or `worker_ended` only; None: all.
        """
        live = self.live()
        return live.past.lives.annotations(start, _end(end), kind=kind) if live else ()

    def get_workers(self) -> tuple[WorkerLife, ...]:
        """The workers that live, the oldest first."""
        live = self.live()
        return live.past.lives.living() if live else ()

    def overview(self) -> Overview:
        """The service at one glance, as it was prepared at most some seconds ago."""
        from proletto_otel.monitoring.overview import Overview

        live = self.live()
        if live is None:
            return Overview(reason="telemetry is not set up")
        from proletto_otel.monitoring import prepare_overview

        return prepare_overview.read(live)

    def overview_etag(self) -> str:
        """The tag of `overview`, without reading it: for polls that find nothing new."""
        return self.overview_mark().etag

    def overview_mark(self) -> OverviewMark:
        """As `overview_etag`, and whether what people must see at once is another."""
        from proletto_otel.monitoring.overview import OverviewMark

        live = self.live()
        if live is None:
            return OverviewMark()
        live.inputs.viewing.note()
        return live.past.overview_mark()


def _end(end: float | None) -> float:
    return time.time() if end is None else end
