"""The text of `/metrics`: Prometheus 0.0.4 or OpenMetrics with exemplars, as the scraper asks.

What the families hold lives in `metrics.process_metrics`; who may read the page in
`monitoring_routes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import accumulate, zip_longest

from proletto_otel.core.conventions import label_name, prometheus_name
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.registry import Attributes, Family, Histogram, Point, are_same

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UNITS = ("seconds", "bytes", "milliseconds", "percent", "ratio")
"""Units that OpenMetrics may state, because the name ends with them."""
MAX_CACHED = 20_000
"""Label texts in the cache; one more empties it (labels come and go with workers)."""
MAX_NAMES = 4096
MAX_TEXTS = 2000
"""Series of a page with cached text, 1.2 KB for a distribution."""
Texts = tuple[list[Point], list[bytes]]
"""The points of a family, and the text of each."""
NO_TEXTS: Texts = ([], [])
TYPES = {"counter": "counter", "updown": "gauge", "gauge": "gauge", "histogram": "histogram"}

_escapes = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_help_escapes = str.maketrans({"\\": r"\\", "\n": r"\n"})
_templates: dict[tuple[str, Attributes, tuple[float, ...]], str] = {}
_name = lru_cache(MAX_NAMES)(prometheus_name)
_texts: dict[bool, dict[str, Texts]] = {}
"""The last page in each format, by name."""
_singles: dict[tuple[str, Attributes], str] = {}


def render(
    families: Iterable[Family], accept: str = "", resource: Mapping[str, object] | None = None
) -> tuple[bytes, str]:
    """Write *families* in the format that the header *accept* prefers.

    Args:
        families: One entry per metric; a second one of the same Prometheus name is left out.
        accept: The request's `Accept` header.
        resource: Who speaks; becomes `target_info`.

    Returns:
        The body and its content type.
    """
    is_open = prefers_open_metrics(accept)
    if len(_templates) + len(_singles) > MAX_CACHED:
        _templates.clear()
        _singles.clear()
    out: list[bytes] = []
    if resource:
        head = "# HELP target{0} Target metadata\n# TYPE target{0} {1}\n"
        # The older format has no type `info`; Prometheus knows the series by its name.
        head = head.format("", "info") if is_open else head.format("_info", "gauge")
        attributes = tuple((k, str(v)) for k, v in resource.items())
        out.append(_encoded(f"{head}{_single('target_info', attributes)}1\n"))
    known, now, room = _texts.get(is_open, {}), dict[str, Texts](), MAX_TEXTS
    seen: set[str] = set()
    for family in families:
        name = _name(family.name, family.kind, family.unit)
        if name in seen:
            log_rate_limited(
                f"exposition.{name}", "two metrics are called %s; /metrics shows one", name
            )
            continue
        seen.add(name)
        out.append(_head(name, family.kind, family.description, is_open))
        texts = _texts_of(name, family.points, is_open, known.get(name, NO_TEXTS))
        out.extend(texts)
        room -= len(texts)
        if room >= 0:
            now[name] = family.points, texts
    _texts[is_open] = now
    if is_open:
        # OpenMetrics: without it a scraper takes the page for one that was cut off.
        out.append(b"# EOF\n")
    return b"".join(out), OPEN_METRICS if is_open else TEXT


def _encoded(text: str) -> bytes:
    # a lone surrogate in one label must not cost the whole page
    return text.encode("utf-8", "backslashreplace")


def prefers_open_metrics(accept: str) -> bool:
    """Whether *accept* gives OpenMetrics at least the quality of plain text."""
    quality = {"open": 0.0, "text": 0.0}
    for media_range in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in media_range.split(";"))
        side = {"application/openmetrics-text": "open"}.get(kind)
        if kind in ("text/plain", "text/*", "*/*"):
            side = "text"
        if side is not None:
            quality[side] = max(quality[side], _quality(parameters))
    # Of two that are equal OpenMetrics: only there exemplars can be shown.
    return quality["open"] > 0 and quality["open"] >= quality["text"]


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


@lru_cache(MAX_NAMES)
def _head(name: str, kind: str, description: str, is_open: bool) -> bytes:
    shown = name.removesuffix("_total") if is_open and kind == "counter" else name
    unit = shown.rpartition("_")[2]
    text = description.translate(_escapes if is_open else _help_escapes)
    lines = [
        f"# HELP {shown} {text}\n" if text else "",
        f"# TYPE {shown} {TYPES[kind]}\n",
        f"# UNIT {shown} {unit}\n" if is_open and unit in UNITS else "",
    ]
    return _encoded("".join(lines))


def _texts_of(name: str, points: list[Point], is_open: bool, known: Texts) -> list[bytes]:
    """The text of each point; that of the last scrape where it is the same object as then."""
    # Most series stand still between two scrapes. Compared by place: finding each of 54 series by
    # its attributes took longer than all the rest of the page.
    if are_same(points, known[0]):
        return known[1]
    return [
        text if point is before else _text(name, point, is_open)
        for point, before, text in zip_longest(points, *known)
        if point is not None
    ]


def _text(name: str, point: Point, is_open: bool) -> bytes:
    if isinstance(point.value, Histogram):
        return _encoded(_histogram(name, point.attributes, point.value, is_open))
    return _encoded(f"{_single(name, point.attributes)}{_number(point.value)}\n")


def _histogram(name: str, attributes: Attributes, histogram: Histogram, is_open: bool) -> str:
    # Our buckets count each for itself, those of Prometheus everything below the edge.
    below: list[object] = list(accumulate(histogram.counts))
    count = below[-1]
    if is_open:
        for bucket, exemplar in histogram.exemplars.items():
            below[bucket] = f"{below[bucket]}{_exemplar(*exemplar)}"
    template = _template(name, attributes, histogram.bounds)
    return template % (*below, _number(histogram.sum), count)


def _exemplar(trace_id: str, span_id: str, value: float, at: float) -> str:
    return f' # {{trace_id="{trace_id}",span_id="{span_id}"}} {_number(value)} {at:.3f}'


def _template(name: str, attributes: Attributes, bounds: tuple[float, ...]) -> str:
    """The lines of a series with `%s` for each number; made once a series.

    One call that fills in 17 numbers takes 2 µs; a line at a time took 9.
    """
    key = (name, attributes, bounds)
    found = _templates.get(key)
    if found is None:
        labels = _labels(attributes).replace("%", "%%")
        comma = "," if labels else ""
        edges = [*(_number(float(b)) for b in bounds), "+Inf"]
        lines = [f'{name}_bucket{{{labels}{comma}le="{edge}"}} %s\n' for edge in edges]
        braces = f"{{{labels}}}" if labels else ""
        found = "".join((*lines, f"{name}_sum{braces} %s\n{name}_count{braces} %s\n"))
        _templates[key] = found
    return found


def _single(name: str, attributes: Attributes) -> str:
    key = (name, attributes)
    found = _singles.get(key)
    if found is None:
        labels = _labels(attributes)
        found = _singles[key] = f"{name}{{{labels}}} " if labels else f"{name} "
    return found


def _labels(attributes: Attributes) -> str:
    """Attributes as labels; those that become the same label share it, as OpenTelemetry says."""
    values: dict[str, str] = {}
    for attribute, value in attributes:
        label = label_name(attribute)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        values[label] = f"{values[label]};{text}" if label in values else text
    return ",".join(f'{k}="{v.translate(_escapes)}"' for k, v in values.items())


def _number(x: float) -> str:
    if isinstance(x, int):
        return str(x)
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "+Inf" if x > 0 else "-Inf"
    return repr(x)
