"""Every metric of the contract: name, kind, unit, description, attributes, in one table."""

from __future__ import annotations

from proletto_otel.core.conventions.attributes import (
    COMPONENT,
    ERROR_TYPE,
    EXCEPTION_TYPE,
    FILESYSTEM_MOUNTPOINT,
    HTTP_REQUEST_METHOD,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
    REASON,
    SINK,
    URL_SCHEME,
)
from proletto_otel.core.conventions.prometheus import prometheus_name
from proletto_otel.core.record import record

SECONDS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bucket edges of durations, as the HTTP semantic conventions advise."""


@record(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of the contract."""

    name: str
    """OpenTelemetry name."""

    kind: str
    """`counter`, `updown`, `gauge` or `histogram`."""

    unit: str
    """UCUM code: `s`, `By`, `1`, `{request}` …"""

    description: str
    """One sentence; the HELP text of `/metrics`."""

    attributes: tuple[str, ...] = ()
    """The attributes a series may have, in the order in which values are given."""

    per: str = "worker"
    """`worker`: each process emits its own; `process`: the same, and workers are never added up;
    `host`: one process of the host emits it."""

    bounds: tuple[float, ...] = ()
    """Bucket edges of a histogram, in its unit."""

    @property
    def prometheus(self) -> str:
        """The name under which Prometheus knows it (without `_bucket`, `_count`, `_sum`)."""
        return prometheus_name(self.name, self.kind, self.unit)


# --- request ----------------------------------------------------------------------------------
HTTP_SERVER_REQUEST_DURATION = Metric(
    name="http.server.request.duration",
    kind="histogram",
    unit="s",
    description="Duration of HTTP server requests, to the close of the response body.",
    attributes=(
        HTTP_REQUEST_METHOD, HTTP_ROUTE, HTTP_RESPONSE_STATUS_CODE, ERROR_TYPE, URL_SCHEME,
    ),
    bounds=SECONDS_BOUNDS,
)  # fmt: skip
HTTP_SERVER_STREAM_DURATION = Metric(
    name="proletto.http.server.stream.duration",
    kind="histogram",
    unit="s",
    description="Duration of event streams and WebSockets, which are no part of the latency.",
    attributes=HTTP_SERVER_REQUEST_DURATION.attributes,
    bounds=(1, 10, 60, 300, 900, 3600, 14_400, 86_400),
)
HTTP_SERVER_ACTIVE_REQUESTS = Metric(
    name="http.server.active_requests",
    kind="updown",
    unit="{request}",
    description="HTTP requests being served now.",
    attributes=(HTTP_REQUEST_METHOD, URL_SCHEME),
)

# --- errors -----------------------------------------------------------------------------------
ERRORS = Metric(
    name="proletto.errors",
    kind="counter",
    unit="{error}",
    description="Log records of level ERROR and above.",
    attributes=("level", COMPONENT, EXCEPTION_TYPE),
)

# --- telemetry about telemetry ----------------------------------------------------------------
TELEMETRY_EMITTED = Metric(
    name="proletto.telemetry.emitted",
    kind="counter",
    unit="{record}",
    description="Records handed to a sink.",
    attributes=(SINK,),
)
TELEMETRY_DELIVERED = Metric(
    name="proletto.telemetry.delivered",
    kind="counter",
    unit="{record}",
    description="Records that arrived where the sink sends them.",
    attributes=(SINK,),
)
TELEMETRY_SPOOLED = Metric(
    name="proletto.telemetry.spooled",
    kind="updown",
    unit="{record}",
    description="Records waiting on disk.",
    attributes=(SINK,),
)
TELEMETRY_DROPPED = Metric(
    name="proletto.telemetry.dropped",
    kind="counter",
    unit="{record}",
    description="Records lost, by reason.",
    attributes=(SINK, REASON),
)
TELEMETRY_SAMPLED_OUT = Metric(
    name="proletto.telemetry.sampled_out",
    kind="counter",
    unit="{span}",
    description="Spans that `PROLETTO_TRACES_KEEP_RATIO` left out; they are no losses.",
)
TELEMETRY_QUEUE_SIZE = Metric(
    name="proletto.telemetry.queue.size",
    kind="updown",
    unit="{record}",
    description="Records waiting in memory to be sent.",
    attributes=(SINK,),
)
TELEMETRY_SPOOL_BYTES = Metric(
    name="proletto.telemetry.spool.bytes",
    kind="gauge",
    unit="By",
    description="Disk space taken by what could not be delivered yet, all workers together.",
    attributes=(SINK,),
    per="host",
)
TELEMETRY_SPOOL_AGE = Metric(
    name="proletto.telemetry.spool.age",
    kind="gauge",
    unit="s",
    description="Age of the oldest telemetry on disk; 0 when there is none.",
    attributes=(SINK,),
    per="host",
)
TELEMETRY_EXPORT_DURATION = Metric(
    name="proletto.telemetry.export.duration",
    kind="histogram",
    unit="s",
    description="Duration of export requests; error.type is set when one failed.",
    attributes=(SINK, ERROR_TYPE),
    bounds=SECONDS_BOUNDS,
)
INTERNAL_ERRORS = Metric(
    name="proletto.telemetry.internal_errors",
    kind="counter",
    unit="{error}",
    description="Failures of the library itself, by step; the application was not disturbed.",
    attributes=("where",),
)

STORE_ERRORS = Metric(
    name="proletto.telemetry.store.errors",
    kind="counter",
    unit="{error}",
    description="Failed uses of the host's state store, by reason.",
    attributes=(REASON,),
)

# --- host, once per host ----------------------------------------------------------------------
SYSTEM_CPU_UTILIZATION = Metric(
    name="system.cpu.utilization",
    kind="gauge",
    unit="1",
    description="Share of the processors' time in use (`scope`: the host, or the container).",
    attributes=("scope",),
    per="host",
)
SYSTEM_MEMORY_UTILIZATION = Metric(
    name="system.memory.utilization",
    kind="gauge",
    unit="1",
    description="Share of memory in use (`scope`: the host, or the container's limit).",
    attributes=("scope",),
    per="host",
)
SYSTEM_FILESYSTEM_UTILIZATION = Metric(
    name="system.filesystem.utilization",
    kind="gauge",
    unit="1",
    description="Share of a file system in use.",
    attributes=(FILESYSTEM_MOUNTPOINT,),
    per="host",
)
SYSTEM_LOAD_1M = Metric(
    name="system.cpu.load_average.1m",
    kind="gauge",
    unit="{thread}",
    description="Load average over one minute.",
    per="host",
)
SYSTEM_LOAD_5M = Metric(
    name="system.cpu.load_average.5m",
    kind="gauge",
    unit="{thread}",
    description="Load average over five minutes.",
    per="host",
)
SYSTEM_LOAD_15M = Metric(
    name="system.cpu.load_average.15m",
    kind="gauge",
    unit="{thread}",
    description="Load average over fifteen minutes.",
    per="host",
)
HEARTBEAT = Metric(
    name="proletto.heartbeat",
    kind="gauge",
    unit="s",
    description="Unix time of the latest sample; a service that stands still is silent.",
    per="host",
)

# --- each worker ------------------------------------------------------------------------------
PROCESS_CPU_UTILIZATION = Metric(
    name="process.cpu.utilization",
    kind="gauge",
    unit="1",
    description="Processor time the worker uses, 1 is all processors that it may use.",
)
PROCESS_MEMORY_USAGE = Metric(
    name="process.memory.usage",
    kind="updown",
    unit="By",
    description="Resident memory of the worker.",
    per="process",
)
PROCESS_THREAD_COUNT = Metric(
    name="process.thread.count",
    kind="updown",
    unit="{thread}",
    description="Threads of the worker.",
    per="process",
)
PROCESS_OPEN_FILES = Metric(
    name="process.unix.file_descriptor.count",
    kind="updown",
    unit="{file_descriptor}",
    description="Open files and sockets of the worker.",
    per="process",
)
PROCESS_CONNECTIONS = Metric(
    name="system.network.connection.count",
    kind="updown",
    unit="{connection}",
    description="Network connections of the worker.",
    per="process",
)
GC_COLLECTIONS = Metric(
    name="cpython.gc.collections",
    kind="counter",
    unit="{collection}",
    description="Runs of Python's garbage collector.",
    attributes=("cpython.gc.generation",),
)

# --- health -----------------------------------------------------------------------------------
HEALTH_CHECK_DURATION = Metric(
    name="proletto.health.check.duration",
    kind="gauge",
    unit="s",
    description="How long the check took when it last ran.",
    attributes=("check",),
    per="host",
)
HEALTH_CHECK_STATUS = Metric(
    name="proletto.health.check.status",
    kind="gauge",
    unit="{state}",
    description="1 for the state a check is in, 0 for the others.",
    attributes=("check", "state", "critical"),
    per="host",
)

# --- alerts -----------------------------------------------------------------------------------
ALERT_STATE = Metric(
    name="proletto.alert.state",
    kind="gauge",
    unit="{state}",
    description="1 while the alert fires at this severity, 0 otherwise.",
    attributes=("alert", "name", "severity"),
    per="host",
)
