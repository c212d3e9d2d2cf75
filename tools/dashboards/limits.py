"""Colours and lines at the limits that the alerts have: one number, in both places."""

from __future__ import annotations

from proletto_otel.alerts import defaults
from proletto_otel.stack.pack import SHIPPED_CPUS, SHIPPED_OPEN_FILES
from tools.dashboards import panels as p

_THRESHOLDS = {
    threshold.metric: threshold for threshold in defaults.defaults(SHIPPED_CPUS, SHIPPED_OPEN_FILES)
}


def limits(metric: str) -> p.Steps:
    """The steps of an indicator's default threshold, in the indicator's unit."""
    threshold = _THRESHOLDS[metric]
    found = [(None, p.GREEN), (threshold.warning, p.AMBER), (threshold.critical, p.RED)]
    given = [found[0], *((limit, colour) for limit, colour in found[1:] if limit is not None)]
    return p.steps(*given)
