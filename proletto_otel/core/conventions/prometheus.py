"""How Prometheus spells the names of OpenTelemetry: metrics, units and labels.

`/metrics`, dashboards and alert rules need the name under which a metric arrives by OTLP, so these
functions follow the receiver's own translator: github.com/prometheus/otlptranslator v1.0.0.
"""

from __future__ import annotations

import re

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


def prometheus_name(name: str, kind: str, unit: str) -> str:
    """Translate an OpenTelemetry metric name as Prometheus' OTLP receiver does.

    The test compares it with what the receiver's own translator makes of 890 names and units:
    github.com/prometheus/otlptranslator v1.0.0, `MetricNamer`.
    """
    words = [word for word in re.split(r"[^a-zA-Z0-9:]+", name) if word]
    # `bytes` and `per_second` of `By/s`; an annotation such as `{request}` says nothing.
    main, _, per = (part.strip() for part in unit.partition("/"))
    main = _unit_text("" if "{" in main or "}" in main else _UNITS.get(main, main))
    per = "" if "{" in per or "}" in per else _PER_UNITS.get(per, per)
    per = _unit_text(f"per_{per}").removesuffix("_") if per else ""
    per = "" if per == "per" or per in words else per
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
