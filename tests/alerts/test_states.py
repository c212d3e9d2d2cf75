"""Thresholds over time, with an injected clock and sampler."""

from __future__ import annotations

import math
import random

import pytest

from proletto_otel.alerts.thresholds import Threshold
from tests.alerts.stage import Stage

CPU = Threshold(metric="cpu_percent", warning=80, critical=95, duration=300)


@pytest.fixture(autouse=True)
def _watched(stage: Stage) -> None:
    stage.thresholds = [CPU]
    stage.values["cpu_percent"] = 20.0
    stage.tick()


def test_limit_must_be_exceeded_for_five_minutes(stage: Stage) -> None:
    """Silent at 299 s; one warning at 300 s."""
    stage.values["cpu_percent"] = 81.0
    stage.tick()

    assert [] == stage.run(299)
    assert ["warning firing"] == stage.run(1)
    assert [] == stage.run(3600)


def test_worse_value_is_told_once_more_as_critical(stage: Stage) -> None:
    """One warning, one critical, one recovery."""
    stage.values["cpu_percent"] = 90.0
    assert ["warning firing"] == stage.run(310)
    stage.values["cpu_percent"] = 99.0
    assert ["critical firing"] == stage.run(310)
    stage.values["cpu_percent"] = 10.0
    assert ["critical resolved"] == stage.run(600)


def test_value_far_beyond_is_one_critical_alert(stage: Stage) -> None:
    """A value above both limits is notified as critical, not also as a warning."""
    stage.values["cpu_percent"] = 99.0

    assert ["critical firing"] == stage.run(900)


def test_value_on_the_limit_is_no_breach(stage: Stage) -> None:
    """Exceeds means strictly greater; exactly the critical limit is still a warning."""
    stage.values["cpu_percent"] = 80.0
    assert [] == stage.run(900)
    stage.values["cpu_percent"] = 95.0
    assert ["warning firing"] == stage.run(900)


def test_flaps_shorter_than_the_duration_are_silent(stage: Stage) -> None:
    """A threshold that flaps shorter than its duration never fires."""
    assert [] == stage.run(7200, value=lambda t: 99.0 if t % 300 < 295 else 50.0)


def test_noise_around_the_limit_does_not_flap(stage: Stage) -> None:
    """Once fired, values that wobble around the limit are one alert, notified once."""
    stage.values["cpu_percent"] = 85.0
    assert ["warning firing"] == stage.run(310)
    noise = random.Random(7)
    assert [] == stage.run(3600, value=lambda _: 80 + noise.uniform(-1.5, 1.5))
    assert ["warning resolved"] == stage.run(600, value=lambda _: 60.0)


def test_short_dip_does_not_end_an_alert(stage: Stage) -> None:
    """The end is notified after two calm minutes, once."""
    stage.values["cpu_percent"] = 85.0
    stage.run(310)

    stage.values["cpu_percent"] = 40.0
    assert [] == stage.run(119)
    stage.values["cpu_percent"] = 85.0
    assert [] == stage.run(60)
    stage.values["cpu_percent"] = 40.0
    assert ["warning resolved"] == stage.run(125)


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf, -math.inf])
def test_no_data_neither_fires_nor_ends_an_alert(stage: Stage, nothing: float | None) -> None:
    """NaN and missing values: no false alert, no false recovery."""
    stage.values["cpu_percent"] = nothing
    assert [] == stage.run(900)
    stage.values["cpu_percent"] = 85.0
    assert ["warning firing"] == stage.run(310)
    stage.values["cpu_percent"] = nothing
    assert [] == stage.run(600)


def test_single_missing_value_does_not_restart_the_window(stage: Stage) -> None:
    """A reading that fails now and then does not hide an alert."""
    assert ["warning firing"] == stage.run(320, value=lambda t: None if int(t) % 10 == 0 else 85.0)


def test_wall_clock_jumps_change_nothing(stage: Stage) -> None:
    """Durations are measured on the monotonic clock."""
    stage.values["cpu_percent"] = 85.0
    stage.run(100)
    stage.clock.jump += 3600
    assert [] == stage.run(195)
    stage.clock.jump -= 7200
    assert ["warning firing"] == stage.run(10)


def test_restart_inside_the_window_goes_on(stage: Stage) -> None:
    """A worker restart neither fires early nor starts the five minutes anew."""
    stage.values["cpu_percent"] = 85.0
    stage.run(200)
    stage.clock.mono += 20
    stage.restart()

    assert [] == stage.run(80)
    assert ["warning firing"] == stage.run(5)


def test_long_gap_starts_the_window_anew(stage: Stage) -> None:
    """What nobody watched is not held to have been bad."""
    stage.values["cpu_percent"] = 85.0
    stage.run(200)
    stage.clock.mono += 3600
    stage.restart()

    assert [] == stage.run(299)
    assert ["warning firing"] == stage.run(5)


def test_new_leader_tells_nothing_twice(stage: Stage) -> None:
    """A fired alert is not fired again by the next leader, and ends once."""
    stage.values["cpu_percent"] = 85.0
    stage.run(310)
    stage.restart()
    assert [] == stage.run(900)
    stage.values["cpu_percent"] = 10.0
    stage.run(60)
    stage.restart()
    assert ["warning resolved"] == stage.run(200)


def test_reboot_begins_a_new_monotonic_clock(stage: Stage) -> None:
    """After a reboot old monotonic times mean nothing; the alert that fired is still known."""
    stage.values["cpu_percent"] = 85.0
    stage.run(310)
    stage.boot, stage.clock.mono = "boot-2", 5.0
    stage.restart()

    assert [] == stage.run(900)
    stage.values["cpu_percent"] = 10.0
    assert ["warning resolved"] == stage.run(200)


def test_window_of_another_boot_is_not_continued(stage: Stage) -> None:
    """A quick reboot inside the window: the old monotonic times are not compared with new ones."""
    stage.values["cpu_percent"] = 85.0
    stage.run(280)
    stage.boot, stage.clock.mono = "boot-2", stage.clock.mono + 20
    stage.restart()

    assert [] == stage.run(299)
    assert ["warning firing"] == stage.run(5)


def test_alert_ends_clearly_inside_its_limit(stage: Stage) -> None:
    """Hysteresis: just below the limit it goes on; 2 % inside it ends."""
    stage.values["cpu_percent"] = 85.0
    stage.run(310)
    stage.values["cpu_percent"] = 79.0
    assert [] == stage.run(1000)
    stage.values["cpu_percent"] = 78.4
    assert ["warning resolved"] == stage.run(130)


def test_lost_data_ends_an_alert_after_a_quarter_of_an_hour(stage: Stage) -> None:
    """An alert on a metric that is gone does not stay for ever."""
    stage.values["cpu_percent"] = 85.0
    stage.run(310)
    stage.values["cpu_percent"] = None

    assert ["warning resolved"] == stage.run(1000)


def test_low_values_are_bad_where_the_direction_says_so(stage: Stage) -> None:
    """A threshold may watch for values that are too low."""
    stage.thresholds = [Threshold(metric="cpu_percent", warning=10, critical=2, direction="below")]
    stage.values["cpu_percent"] = 10.0
    assert [] == stage.run(5)
    stage.values["cpu_percent"] = 9.9
    assert ["warning firing"] == stage.run(5)
    stage.values["cpu_percent"] = 1.0
    assert ["critical firing"] == stage.run(5)
    stage.values["cpu_percent"] = 50.0
    assert ["critical resolved"] == stage.run(5)


def test_fall_from_critical_to_warning_is_quiet_and_a_new_rise_is_told(stage: Stage) -> None:
    """People are notified when it gets worse, not when it gets a little better."""
    stage.values["cpu_percent"] = 99.0
    assert ["critical firing"] == stage.run(310)
    stage.values["cpu_percent"] = 85.0
    assert [] == stage.run(600)
    stage.values["cpu_percent"] = 99.0
    assert ["critical firing"] == stage.run(310)
