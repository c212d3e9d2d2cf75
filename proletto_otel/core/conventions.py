"""The telemetry contract: every metric, attribute, log field and header name, written once.

OpenTelemetry semantic conventions 1.44 come first; own names begin with `proletto.`. Emitters,
`/metrics`, dashboards, alert rules and docs take their names from here or are tested against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# --- attributes: OpenTelemetry semantic conventions -------------------------------------------
HTTP_REQUEST_METHOD = "http.request.method"
HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"
HTTP_RESPONSE_BODY_SIZE = "http.response.body.size"
HTTP_ROUTE = "http.route"
URL_PATH = "url.path"
URL_QUERY = "url.query"
URL_SCHEME = "url.scheme"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
CLIENT_ADDRESS = "client.address"
USER_AGENT_ORIGINAL = "user_agent.original"
NETWORK_PROTOCOL_VERSION = "network.protocol.version"
ERROR_TYPE = "error.type"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
CODE_FILE_PATH = "code.file.path"
CODE_FUNCTION_NAME = "code.function.name"
CODE_LINE_NUMBER = "code.line.number"
THREAD_ID = "thread.id"
USER_ID = "user.id"
SERVICE_NAME = "service.name"
SERVICE_NAMESPACE = "service.namespace"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE_ID = "service.instance.id"
DEPLOYMENT_ENVIRONMENT_NAME = "deployment.environment.name"
HOST_NAME = "host.name"
PROCESS_PID = "process.pid"
TELEMETRY_DISTRO_NAME = "telemetry.distro.name"
TELEMETRY_DISTRO_VERSION = "telemetry.distro.version"
TELEMETRY_SDK_LANGUAGE = "telemetry.sdk.language"
TELEMETRY_SDK_NAME = "telemetry.sdk.name"
CPU_MODE = "cpu.mode"
FILESYSTEM_MOUNTPOINT = "system.filesystem.mountpoint"
OVERFLOW = "otel.metric.overflow"

# --- attributes: ours -------------------------------------------------------------------------
REQUEST_ID = "request_id"
"""On spans and log records alike, so that one name finds both (Loki keeps it as it is)."""
FINGERPRINT = "proletto.error.fingerprint"
COMPONENT = "component"
SINK = "sink"
REASON = "reason"

# --- attributes of log records, beside the caller's facts --------------------------------------
ACCESS_DURATION_MS = "duration_ms"
USER = "user_id"
"""The user of a request, as `set_user` and Flask-Login name it."""
LOGGER_NAME = "logger"
ORIGINAL_LENGTH = "original_length"
"""Characters a message had before it was cut."""
TRUNCATED = "truncated"

# --- headers ----------------------------------------------------------------------------------
REQUEST_ID_HEADER = "X-Request-ID"
TRACEPARENT_HEADER = "traceparent"

# --- paths ------------------------------------------------------------------------------------
PROBE_PATHS = ("/livez", "/readyz", "/health", "/healthz")

# --- fields of a log record -------------------------------------------------------------------
# Every renderer takes its names from here: JSON lines, text lines, breadcrumbs, and OpenTelemetry
# for those that are no part of its own record (request ID, logger).
TIMESTAMP = "timestamp"
LEVEL = "level"
MESSAGE = "message"
MODULE = "module"
FUNCTION = "function"
LINE = "line"
PROCESS_ID = "process_id"
LOG_THREAD_ID = "thread_id"
ENVIRONMENT = "environment"
TRACE_ID = "trace_id"
SPAN_ID = "span_id"
LOG_FINGERPRINT = "fingerprint"
EXCEPTION = "exception"
LOG_FIELDS = (
    TIMESTAMP, LEVEL, LOGGER_NAME, MESSAGE, MODULE, FUNCTION, LINE, PROCESS_ID, LOG_THREAD_ID,
    ENVIRONMENT, REQUEST_ID, TRACE_ID, SPAN_ID, LOG_FINGERPRINT, EXCEPTION,
)  # fmt: skip
"""The fields of a JSON log line in their order; facts of the caller follow at the top level."""
RESERVED_FACTS = frozenset(
    (
        *LOG_FIELDS, CODE_FILE_PATH, CODE_FUNCTION_NAME, CODE_LINE_NUMBER, EXCEPTION_TYPE,
        EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, FINGERPRINT,
    )
)  # fmt: skip
"""Names that a record uses itself: a caller's fact of this name gets a trailing underscore, so that
no name stands twice in a JSON object or among OpenTelemetry's attributes."""

SECONDS_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bucket edges of durations, as the HTTP semantic conventions advise."""

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes",
    "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "m": "meters", "V": "volts",
    "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz",
    "1": "", "%": "percent",
}  # fmt: skip
"""What Prometheus calls a unit; any other unit stays as it is."""
_PER_UNITS = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
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


def prometheus_name(name: str, kind: str, unit: str) -> str:
    """Translate an OpenTelemetry metric name as Prometheus' OTLP receiver does.

    The test compares it with what the receiver's own translator makes of 890 names and units:
    github.com/prometheus/otlptranslator v1.0.0, `MetricNamer`.
    """
    words = [word for word in re.split(r"[^a-zA-Z0-9:]+", name) if word]
    main, per = _unit_words(unit)
    per = "" if per in words else per
    main = "" if main in words else main
    if per:
        main = main.removesuffix("_")
    words += [word for word in (main, per) if word]
    if kind == "counter":
        words = [word for word in words if word != "total"] + ["total"]
    if kind == "gauge" and unit == "1":
        words = [word for word in words if word != "ratio"] + ["ratio"]
    base = "_".join(words)
    return f"_{base}" if base[:1].isdigit() else base


def _unit_words(unit: str) -> tuple[str, str]:
    """`bytes` and `per_second` of `By/s`; an annotation such as `{request}` says nothing."""
    main, _, per = (part.strip() for part in unit.partition("/"))
    main = "" if "{" in main or "}" in main else _UNITS.get(main, main)
    per = "" if "{" in per or "}" in per else _PER_UNITS.get(per, per)
    per = _unit_text(f"per_{per}").removesuffix("_") if per else ""
    return _unit_text(main), "" if per == "per" else per


def _unit_text(word: str) -> str:
    return re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9:]", "_", word)).removeprefix("_")


def label_name(attribute: str) -> str:
    """The Prometheus label of an attribute, as Prometheus' OTLP receiver makes it.

    Rules: github.com/prometheus/otlptranslator v1.0.0, `LabelNamer` as Prometheus 3 sets it.
    """
    label = re.sub(r"[^a-zA-Z0-9]+", "_", attribute)
    if label[:1].isdigit():
        return f"key_{label}"
    return label if label[:1].isalpha() else f"key{label}"


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
