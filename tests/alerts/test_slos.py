"""Service level objectives: what can be promised, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from proletto_otel.core.errors import ConfigError
from proletto_otel.monitoring.monitor import Monitor


def test_objective_is_registered() -> None:
    """What was registered is found again, with its error budget."""
    monitor = Monitor()
    made = monitor.register_slo("availability", objective=0.999)

    assert [made] == monitor.get_slos()
    assert pytest.approx(0.001) == made.budget


def test_same_name_replaces() -> None:
    """An objective is registered once, however often a module is imported."""
    monitor = Monitor()
    monitor.register_slo("availability", objective=0.999)
    monitor.register_slo("availability", objective=0.99)

    assert [0.99] == [slo.objective for slo in monitor.get_slos()]


def test_objective_is_taken_away() -> None:
    """`unregister` forgets it."""
    monitor = Monitor()
    monitor.register_slo("availability")
    monitor.unregister("availability")

    assert [] == monitor.get_slos()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"objective": 1}, "objective=1"),
        ({"objective": 99.9}, "objective=99.9"),
        ({"objective": True}, "objective=True"),
        ({"sli": "speed"}, "sli='speed'"),
        ({"sli": "latency"}, "latency_threshold=None"),
        ({"sli": "latency", "latency_threshold": 0.3}, "latency_threshold=0.3"),
        ({"latency_threshold": 0.5}, "latency_threshold=0.5"),
        ({"route": 'a"} or vector(1)'}, "route="),
        ({"name": "two words"}, "name='two words'"),
    ],
)
def test_impossible_objective_is_refused(arguments: dict[str, Any], named: str) -> None:
    """The error names the argument and what came."""
    with pytest.raises(ConfigError, match=named.replace("'", ".")):
        Monitor().register_slo(**{"name": "checkout", **arguments})
