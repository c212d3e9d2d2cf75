"""What monitoring is handed: configuration, the host's shared state, and where the data comes from.

`setup.components` fills it; every callable is called off the request path unless it says otherwise.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from proletto_otel.core.config import Config
from proletto_otel.core.metrics.registry import Family, registry
from proletto_otel.core.record import record
from proletto_otel.state.store import Store
from proletto_otel.state.viewing import Viewing

if TYPE_CHECKING:
    from proletto_otel.errors.groups import ErrorGroups
    from proletto_otel.logs.search.search import LogSearch
    from proletto_otel.logs.shared_levels import SharedLevels
    from proletto_otel.notify.email.channel import SendMail
    from proletto_otel.notify.log.channel import Log
    from proletto_otel.notify.slack.channel import Post
    from proletto_otel.request.route_summary import RouteSummary
    from proletto_otel.state.readings import MetricPoint
    from proletto_otel.state.thread_dumps import ThreadDumps


class Schedule(Protocol):
    """Has a function called at intervals: `Ticker.every`."""

    def __call__(
        self, seconds: float, name: str, function: Callable[[], object], *, leader: bool = False,
        when: Callable[[], bool] = lambda: True,
    ) -> None: ...  # fmt: skip


def _nothing(*_: Any) -> Sequence[Any]:
    return ()


@record(frozen=True, kw_only=True, eq=False, repr=False)
class Inputs:
    """Everything that monitoring asks of others."""

    config: Config

    store: Store
    """The host's shared store."""

    every: Schedule
    """`Ticker.every`."""

    cancel: Callable[[str], None] = lambda name: None
    """`Ticker.cancel`."""

    state: Path | None = None
    """The directory that the service's processes share; None: this process is for itself."""

    viewing: Viewing = field(default_factory=lambda: Viewing(None))
    """Whether somebody looks."""

    system: Callable[[], Mapping[str, float | None]] = dict
    """The host's values by indicator name and in the indicator's unit (per cent, not ratios), at
    most a few seconds old; what the system refuses is absent or None. Called every
    `PROLETTO_ALERT_INTERVAL` by the leader, and by pages."""

    is_system_known: Callable[[], bool] = lambda: True
    """Whether *system* can be asked by an evaluation; it is a little later when workers start."""

    families: Callable[[], Sequence[Family]] = registry.collect
    """Every metric of all workers, merged."""

    one_reading: Callable[[], AbstractContextManager[None]] = nullcontext
    """Within it *system*, *families* and *routes* are of one time, read once."""

    routes: Callable[[], Sequence[RouteSummary]] = _nothing
    """Statistics of all routes over all workers (`request.route_summary.summarise`)."""

    history: Callable[[str, float], Sequence[tuple[float, float]]] = _nothing
    """Samples of an indicator since a unix time: (unix time, value), oldest first."""

    series: Callable[[str, float, float, int], Sequence[MetricPoint]] = _nothing
    """A chart's points: metric, start and end in unix seconds, how many points."""

    keep: Callable[[float, Mapping[str, float | None]], None] | None = None
    """Keeps samples for `history`: unix time, values by indicator or gauge name. The host's values
    are stored elsewhere; these are the requests' and those of registered gauges."""

    errors: Callable[[int], Sequence[Mapping[str, Any]]] = _nothing
    """The latest error groups, as many as asked for."""

    error_groups: ErrorGroups | None = None
    """The host's error groups."""

    log_search: Callable[[], LogSearch] | None = None
    """Search of the structured log file; made at the first call."""

    log_levels: SharedLevels | None = None
    """Levels of loggers that operators change for all workers."""

    thread_dumps: ThreadDumps | None = None
    """Stacks of workers that operators ask for."""

    log: Log | None = None
    """Writes one log record under the logger `proletto.alerts`: level, message, facts."""

    slack: Post | None = None
    """`SlackClient.post`, or None when Slack is not configured."""

    email: SendMail | None = None
    """Sends an email another way than by the SMTP settings (tests)."""

    redact: Callable[[str], str] = str
    """Takes secrets out of what checks say."""

    host: str = field(default_factory=socket.gethostname)
