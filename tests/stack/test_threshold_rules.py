"""The expressions of thresholds: each part is there when it is asked for, and only then."""

from __future__ import annotations

import pytest

from proletto_otel.alerts.indicators import INDICATORS, Indicator
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.stack import threshold_rules

ONLY = 'service_name="shop"'
REQUESTS = ("error_rate", "response_time_avg", "response_time_p95")


def expression(metric: str, min_requests: int) -> str:
    """PromQL for a limit of 5 on *metric* of one service."""
    threshold = Threshold(metric=metric, warning=5, critical=9, min_requests=min_requests)
    return threshold_rules.expression(threshold, INDICATORS[metric], ONLY)


@pytest.mark.parametrize("metric", threshold_rules.EXPRESSIONS)
def test_every_indicator_has_its_own(metric: str) -> None:
    """Of this service alone, with brackets that close, and no word that PromQL does not know."""
    made = expression(metric, min_requests=0)

    assert ONLY in made
    assert made.count("(") == made.count(")")
    assert "None" not in made


@pytest.mark.parametrize("metric", REQUESTS)
def test_few_requests_are_not_judged(metric: str) -> None:
    """A least number of requests is a condition more; without one there is none."""
    without, with_20 = expression(metric, min_requests=0), expression(metric, min_requests=20)

    assert with_20.startswith(f"{without} and ")
    assert with_20.endswith(" >= 20")


@pytest.mark.parametrize(("unit", "ending"), [("", "(_ratio)?"), ("s", "_seconds")])
def test_gauge_is_found_by_its_name(unit: str, ending: str) -> None:
    """The worst worker counts: the lowest of a gauge that must not fall, else the highest."""
    indicator = Indicator(name="queue_depth", title="Queue depth", alert="GaugeHigh", unit=unit)
    found = [
        threshold_rules.expression(
            Threshold(metric="queue_depth", warning=5, direction=direction), indicator, ONLY
        )
        for direction in ("above", "below")
    ]

    assert [True, False] == [each.startswith("max by") for each in found]
    assert [False, True] == [each.startswith("min by") for each in found]
    assert all(f'__name__=~"queue_depth{ending}"' in each for each in found)
