"""`OTEL_*` variables that are set and change nothing here: named, so that nobody relies on them.

Those that are supported are rows of `core.config`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

OTHERS = ("OTEL_PYTHON_", "OTEL_SEMCONV_", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_")
"""Beginnings of variables that other instrumentations of the process read themselves."""
CAPTURED_HEADERS = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_"
SAME_AS_OURS = {
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "cumulative",
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "explicit_bucket_histogram",
    "OTEL_METRICS_EXEMPLAR_FILTER": "trace_based",
    "OTEL_SPAN_EVENT_COUNT_LIMIT": "128",
    "OTEL_SPAN_LINK_COUNT_LIMIT": "128",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "128",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "128",
}
"""Values that ask for what is done anyway."""
SIGNALS = ("TRACES", "METRICS", "LOGS")
PER_SIGNAL = (
    "PROTOCOL",
    "COMPRESSION",
    "TIMEOUT",
    "CERTIFICATE",
    "CLIENT_CERTIFICATE",
    "CLIENT_KEY",
)
MAX_NAMED = 20


def unsupported(
    environ: Mapping[str, str],
    supported: Collection[str],
    in_use: Mapping[str, str],
    *,
    contrib: bool,
) -> list[str]:
    """One sentence that names the variables without effect; no sentence where there are none.

    Args:
        environ: The environment.
        supported: Names of the variables that settings are read from.
        in_use: What holds for all signals, by the last part of the variable's name (`PROTOCOL`).
        contrib: Whether opentelemetry-instrumentation-flask makes the request spans; it captures
            headers.
    """
    # A variable of one signal that says what holds for all has its effect.
    same = SAME_AS_OURS | {
        f"OTEL_EXPORTER_OTLP_{signal}_{part}": in_use[part]
        for signal in SIGNALS
        for part in PER_SIGNAL
    }
    others = (*OTHERS, CAPTURED_HEADERS) if contrib else OTHERS
    named = sorted(
        name
        for name, value in environ.items()
        if name.startswith("OTEL_")
        and name not in supported
        and not name.startswith(others)
        and value.strip().lower() not in ("", same.get(name, "").lower())
    )
    if not named:
        return []
    more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    # Names come from outside: escaped and cut, since they end up in a log line.
    shown = ", ".join(ascii(name)[1:-1][:100] for name in named[:MAX_NAMED])
    return [f"not supported and without effect: {shown}{more} (see docs/configuration.md)"]
