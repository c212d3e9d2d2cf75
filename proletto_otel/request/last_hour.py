"""The requests of the last hour, read once: the prepared overview shows them several times."""

from __future__ import annotations

from proletto_otel.request.request_points import RequestPoint, point
from proletto_otel.request.request_series import HALF_S, RequestSeries, added

HOUR_S = 3600.0
MINUTES = 60


class LastHour:
    """The minutes of the hour before *now*.

    Args:
        series: Reads them.
        now: Unix seconds.
    """

    def __init__(self, series: RequestSeries, now: float) -> None:
        self._now = now
        self._step, self._columns = series.columns(now - HOUR_S, now, points=MINUTES)

    def points(self) -> tuple[RequestPoint, ...]:
        """As `RequestSeries.points`: by the minute."""
        return tuple(point(at, self._step, total) for at, total in self._columns)

    def total(self, seconds: float = HOUR_S) -> RequestPoint:
        """As `RequestSeries.total`: the last *seconds*, at most the hour, in one."""
        start = self._now - seconds
        first = (start + HALF_S) // self._step * self._step
        wanted = [column for column in self._columns if column[0] >= first]
        return added(start, self._now, self._step, wanted)
