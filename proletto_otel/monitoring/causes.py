"""What helps to find the cause of an alert: a check's message, a request to examine.

The evaluator asks for it when it makes a notification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from proletto_otel.alerts.indicators import HEALTH_PREFIX, INDICATORS, UNEVALUATED
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.record import record

if TYPE_CHECKING:
    from proletto_otel.health.states import CheckState
    from proletto_otel.request.route_summary import RouteSummary


@record(frozen=True, slots=True, kw_only=True, eq=False)
class Causes:
    """Finds facts about a threshold that was passed."""

    checks: Callable[[], Sequence[CheckState]]
    """The health checks and what is known of them."""

    routes: Callable[[], Sequence[RouteSummary]]
    """Statistics of all routes."""

    unevaluated: Callable[[], Sequence[str]]
    """Names that no process evaluates."""

    def facts(self, threshold: Threshold) -> dict[str, str]:
        """Texts by name; none where nothing helps."""
        metric = threshold.metric
        if metric == UNEVALUATED:
            return {"not_evaluated": ", ".join(self.unevaluated())}
        if metric.startswith(HEALTH_PREFIX):
            # By name, not by order: a check may be unregistered between the evaluation and this.
            known = {state.name: state for state in self.checks()}
            state = known.get(metric.removeprefix(HEALTH_PREFIX))
            return {"message": state.message} if state is not None else {}
        indicator = INDICATORS.get(metric)
        if indicator is None or not indicator.requests:
            return {}
        find = last_error if metric == "error_rate" else slowest_request
        return find(self.routes())


def slowest_request(routes: Sequence[RouteSummary]) -> dict[str, str]:
    """The slowest recent request of all routes."""
    slowest = [(s["duration_s"], s["request_id"], r) for r in routes for s in r.slowest]
    if not slowest:
        return {}
    seconds, request_id, route = max(slowest, key=lambda entry: entry[0])
    return {
        "slow_request_id": request_id,
        "slow_route": f"{route.method} {route.route or ''} took {seconds:.3f} s".strip(),
    }


def last_error(routes: Sequence[RouteSummary]) -> dict[str, str]:
    """The request that failed last, of all routes."""
    errors = [(e["time_ns"], e, r) for r in routes if (e := r.last_error) is not None]
    if not errors:
        return {}
    _, error, route = max(errors, key=lambda entry: entry[0])
    return {
        "error_request_id": error["request_id"],
        "last_error": f"{route.method} {route.route or ''}: {error['error']}",
    }
