"""The engine of health checks as the settings want it."""

from __future__ import annotations

from proletto_otel.health.engine import HealthEngine, Schedule
from proletto_otel.health.states import Rules
from proletto_otel.health.store import HealthStore
from proletto_otel.monitoring.inputs import Inputs
from proletto_otel.monitoring.shares import Shares

STALE_MARGIN_S = 10.0
"""A scheduled result is believed for two intervals and this much more."""


def health_engine(inputs: Inputs, shares: Shares) -> HealthEngine:
    """Runs the checks of which *shares* says that this process evaluates them."""
    config = inputs.config
    interval = config.monitor_health_check_interval
    rules = Rules(
        failures=config.monitor_unhealthy_threshold, stale_after_s=2 * interval + STALE_MARGIN_S
    )
    schedule = Schedule(enabled=config.monitor_scheduled_checks, interval_s=interval)
    return HealthEngine(
        HealthStore(inputs.store, rules),
        schedule,
        redact=inputs.redact,
        is_mine=lambda name: f"check:{name}" in shares,
    )
