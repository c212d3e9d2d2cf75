"""Labels that an application adds to its request metrics, such as the tenant: few, and bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.metrics.registry import OVERFLOWED, Attributes
from proletto_otel.request.wsgi import Environ

Ask = Callable[[Environ], Mapping[str, Any] | None]
MAX_LABELS = 4
MAX_VALUE = 64
"""Characters of a value."""
MAX_SETS = 200
"""Different sets of labels in one process; requests beyond share one overflow series per route."""

_NAME = lazy_pattern(r"[A-Za-z][A-Za-z0-9_.]{0,62}")


class RequestLabels:
    """Asks the application for the labels of a finished request.

    Args:
        ask: Called once per counted request with its WSGI environ, when the request is over; what
            a view put there (`request.environ["shop.tenant"] = …`) is still in it. It must be fast
            and must not block. What it raises is counted, and the request has no labels.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._seen: set[Attributes] = set()

    def __call__(self, environ: Environ) -> Attributes:
        """The labels by name, sorted; beyond the limit the overflow attribute in their place."""
        found: Attributes = ()
        with suppressed("request.labels"):
            asked = sorted((self._ask(environ) or {}).items())
            found = tuple(
                (name, str(value)[:MAX_VALUE]) for name, value in asked if _is_allowed(name)
            )
        # Bounded here and not only by the histogram: there one application's labels would take the
        # cells of all routes.
        if found in self._seen or not found:
            return found
        if len(found) > MAX_LABELS or len(self._seen) >= MAX_SETS:
            log_rate_limited(
                "request.labels",
                "request_labels: more than %d labels or %d sets of them; the rest is counted"
                ' together under otel_metric_overflow="true"',
                MAX_LABELS, MAX_SETS,
            )  # fmt: skip
            return OVERFLOWED
        self._seen.add(found)
        return found


def _is_allowed(name: object) -> bool:
    own = name in HTTP_SERVER_REQUEST_DURATION.attributes
    fits = not own and isinstance(name, str) and _NAME.fullmatch(name) is not None
    if not fits:
        log_rate_limited("request.label", "request_labels: %.80r is no free label name", name)
    return fits
