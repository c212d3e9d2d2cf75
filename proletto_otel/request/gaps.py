"""Puts the requests of a time without a leader into the minutes in which they were."""

from __future__ import annotations

from collections.abc import Mapping

from proletto_otel.request import status_codes
from proletto_otel.request.request_totals import RequestTotals, Route


def spread(
    grown: Mapping[Route, RequestTotals], missing: Mapping[Route, Mapping[float, float]], at: float
) -> dict[float, dict[Route, RequestTotals]]:
    """The parts of *grown* by unix time.

    Args:
        grown: What came to each route in all.
        missing: How many requests of each minute are not stored yet; a route about which nothing
            is known counts as of now.
        at: Now.
    """
    parts: dict[float, dict[Route, RequestTotals]] = {at: {}}
    for route, more in grown.items():
        weights = {m: n for m, n in sorted(missing.get(route, {}).items()) if n > 0}
        for minute, part in _split(more, weights or {at: 1.0}).items():
            parts.setdefault(minute, {})[route] = part
    return parts


def _split(more: RequestTotals, weights: Mapping[float, float]) -> dict[float, RequestTotals]:
    whole, passed, found = sum(weights.values()), 0.0, {}
    left, codes = list(more.classes), dict(more.codes)
    for minute, weight in weights.items():
        low, passed = passed / whole, passed + weight
        high = passed / whole

        def share(n: int, low: float = low, high: float = high) -> int:
            # the ends are rounded, not the parts, so that these add up to the whole
            return round(n * high) - round(n * low)

        classes = [share(n) for n in more.classes]
        of_minute = status_codes.apportioned(codes, left, classes)
        left = [n - gone for n, gone in zip(left, classes, strict=True)]
        codes = {code: n - of_minute.get(code, 0) for code, n in codes.items()}
        found[minute] = RequestTotals(
            classes=classes,
            codes=of_minute,
            errors=share(more.errors),
            timed=share(more.timed),
            seconds=more.seconds * (high - low),
            durations={bucket: part for bucket, n in more.durations.items() if (part := share(n))},
            failed={bucket: part for bucket, n in more.failed.items() if (part := share(n))},
            start_ns=more.start_ns,
        )
    return found
