"""Thresholds that cannot work are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from proletto_otel.alerts.defaults import defaults, for_checks
from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.severity import CRITICAL, WARNING

CPU: dict[str, Any] = {"metric": "cpu_percent", "warning": 80, "critical": 95, "duration": 300}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"warning": 95, "critical": 80}, "critical_threshold=80"),
        ({"warning": 80, "critical": 80}, "critical_threshold=80"),
        ({"direction": "below"}, "critical_threshold=95"),
        ({"duration": -1}, "duration=-1"),
        ({"duration": "5m"}, "duration='5m'"),
        ({"duration": float("nan")}, "duration=nan"),
        ({"warning": float("nan")}, "warning_threshold=nan"),
        ({"critical": "95"}, "critical_threshold='95'"),
        ({"critical": True}, "critical_threshold=True"),
        ({"warning": None, "critical": None}, "warning_threshold"),
        ({"direction": "up"}, "direction='up'"),
        ({"min_requests": -1}, "min_requests=-1"),
        ({"metric": ""}, "metric=''"),
    ],
)
def test_impossible_threshold_is_refused(change: dict[str, Any], named: str) -> None:
    """The message names the setting, what came and what fits."""
    with pytest.raises(ConfigError) as caught:
        Threshold(**{**CPU, **change})

    assert named in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "warning", "critical"),
    [
        (79.999, False, False),
        (80.0, False, False),
        (80.001, True, False),
        (95.0, True, False),
        (95.001, True, True),
    ],
)
def test_exceeds_means_strictly_greater(value: float, warning: bool, critical: bool) -> None:
    """The bands at w−ε, w, w+ε, c, c+ε, as the generated rules have them."""
    threshold = Threshold(**CPU)

    assert warning == threshold.beyond(WARNING, value)
    assert critical == threshold.beyond(CRITICAL, value)


def test_each_default_has_a_reason() -> None:
    """A number that wakes people says why it is that number."""
    made = defaults(cpu_count=2, max_open_files=1024)

    assert set() == {t.metric for t in made if len(t.reason) < 30}
    assert set() == {t.metric for t in made} - set(INDICATORS)


def test_default_for_open_files_follows_the_limit_of_the_process() -> None:
    """70 and 90 per cent of what the process may open; none where there is no limit."""
    found = {t.metric: t for t in defaults(2, 1024)}["open_files"]

    assert (717, 922) == (found.warning, found.critical)
    assert "open_files" not in {t.metric for t in defaults(2, None)}


def test_only_critical_checks_are_critical_alerts() -> None:
    """A check that is not critical is a warning when it fails, nothing when it is slow."""
    database, mail = for_checks([("database", True), ("mail", False)])

    assert (1.5, 0) == (database.critical, database.critical_duration)
    assert (None, 1.5) == (mail.critical, mail.warning)
