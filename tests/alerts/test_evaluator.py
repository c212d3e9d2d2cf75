"""Which notices are made: silences, health, requests, several processes on one store."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from dataclasses import replace

import pytest

from proletto_otel.alerts.defaults import for_checks
from proletto_otel.alerts.silences import ACKNOWLEDGE, EVERYTHING, SILENCE, checked
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.conventions import HTTP_SERVER_REQUEST_DURATION
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.health.states import CheckState
from proletto_otel.notify.notification import Notification
from proletto_otel.notify.notifier import Notifier
from proletto_otel.request.durations import EDGES
from tests.alerts.stage import Stage
from tests.waiting import until

CPU = Threshold(metric="cpu_percent", warning=80, critical=95, duration=60)


class Receiver:
    """A channel that remembers."""

    name = "people"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def wants(self, notification: Notification) -> bool:
        return True

    def send(self, notification: Notification) -> None:
        self.heard.append(f"{notification.severity} {notification.event}")


def _silence(stage: Stage, name: str, kind: str, seconds: float, level: str = "warning") -> None:
    stage.store.keep_silence(
        checked(name, kind, seconds, "ada", "deploy", level=level, at=stage.clock.now())
    )


@pytest.mark.parametrize("name", ["cpu_percent", EVERYTHING])
def test_silenced_alert_is_told_when_the_silence_ends_and_it_still_holds(
    stage: Stage, name: str
) -> None:
    """A silence delays what still matters and swallows what is over."""
    stage.thresholds = [CPU]
    _silence(stage, name, SILENCE, 600)
    stage.values["cpu_percent"] = 90.0

    assert [] == stage.run(598)
    assert ["warning firing"] == stage.run(5)


def test_alert_that_came_and_went_in_a_silence_is_never_told(stage: Stage) -> None:
    """Neither its beginning nor its end."""
    stage.thresholds = [CPU]
    _silence(stage, "cpu_percent", SILENCE, 600)
    stage.values["cpu_percent"] = 90.0
    stage.run(200)
    stage.values["cpu_percent"] = 10.0

    assert [] == stage.run(1000)


def test_acknowledged_alert_speaks_only_when_it_gets_worse(stage: Stage) -> None:
    """Somebody works on it: repeats are quiet, a critical value is not, the end is notified."""
    stage.thresholds = [CPU]
    stage.values["cpu_percent"] = 90.0
    assert ["warning firing"] == stage.run(70)
    _silence(stage, "cpu_percent", ACKNOWLEDGE, 7200)
    stage.values["cpu_percent"] = 10.0
    assert ["warning resolved"] == stage.run(100)
    stage.values["cpu_percent"] = 90.0
    assert [] == stage.run(300)
    stage.values["cpu_percent"] = 99.0
    assert ["critical firing"] == stage.run(70)


@pytest.mark.parametrize(("by", "seconds"), [("", 60), (None, 60), ("ada", 0), ("ada", 1e9)])
def test_silence_needs_a_person_and_an_end(by: str | None, seconds: float) -> None:
    """Who and until when; never for ever."""
    with pytest.raises(ConfigError):
        checked("cpu_percent", SILENCE, seconds, by, "", level="ok", at=0)


def test_message_has_value_unit_limit_since_host_and_links(stage: Stage) -> None:
    """Each message carries value with unit, threshold, since when, host, service, links."""
    stage.thresholds = [CPU]
    stage.values["cpu_percent"] = 97.25
    began = stage.clock.now() + 1
    stage.run(70)
    (notice,) = stage.notices

    assert "CPU usage is 97.25 %, above 95 % for 1 min" == notice.summary
    assert (began, "web-1", "shop", "production") == (
        notice.since, notice.host, notice.service, notice.environment,
    )  # fmt: skip
    assert "docs/runbook.md#highcpu" == notice.links["runbook"]


def test_unhealthy_check_is_an_alert_and_its_recovery_is_told(stage: Stage) -> None:
    """Alerts on health state changes."""
    state = CheckState(name="database", status="healthy")
    stage.readings.health = lambda: [state]
    stage.thresholds = for_checks([("database", True)])
    assert [] == stage.run(10)
    state = replace(state, status="unhealthy")
    assert ["critical firing"] == stage.run(10)
    state = replace(state, status="unknown")
    assert [] == stage.run(10)
    state = replace(state, status="healthy")
    assert ["critical resolved"] == stage.run(10)


def test_degraded_check_is_a_warning_after_five_minutes(stage: Stage) -> None:
    """A dependency that is slow for a short time wakes nobody."""
    state = CheckState(name="database", status="degraded")
    stage.readings.health = lambda: [state]
    stage.thresholds = for_checks([("database", True)])

    assert [] == stage.run(299)
    assert ["warning firing"] == stage.run(5)


def test_entries_of_a_channel_that_is_gone_do_not_stay(stage: Stage) -> None:
    """An email that waits while SMTP_HOST is taken away is dropped after an hour, counted."""
    stage.thresholds = [CPU]
    stage.values["cpu_percent"] = 90.0
    stage.run(70)
    with stage.store.transaction() as connection:
        stage.store.post(connection, stage.notices[0], ["email"])
    stage.values["cpu_percent"] = 10.0
    stage.run(3500, step=20)
    assert 1 == len(stage.store.outbox.waiting())
    stage.run(200, step=20)

    assert [] == stage.store.outbox.waiting()


class Requests:
    """Requests counted as the middleware counts them."""

    def __init__(self, stage: Stage) -> None:
        self.registry = Registry()
        stage.readings.families = self.registry.collect

    def serve(self, count: int, failed: int = 0, seconds: float = 0.02, route: str = "/") -> None:
        histogram = self.registry.histogram(HTTP_SERVER_REQUEST_DURATION)
        for _ in range(count - failed):
            histogram.cell(("GET", route, 200, None, "http")).observe(seconds)
        for _ in range(failed):
            histogram.cell(("GET", route, 500, "ValueError", "http")).observe(seconds)


def test_error_rate_is_per_cent_of_the_last_five_minutes(stage: Stage) -> None:
    """5 of 50 requests fail: 10 %; ten quiet minutes later there is no verdict."""
    requests = Requests(stage)
    stage.thresholds = [Threshold(metric="error_rate", warning=9.9, critical=10.0)]
    requests.serve(1000)
    stage.tick()
    requests.serve(50, failed=5)

    assert ["warning firing"] == stage.run(5)
    assert 10.0 == stage.notices[-1].value


def test_single_error_at_night_is_silent(stage: Stage) -> None:
    """The traffic guard: one failure of three requests is no alert."""
    requests = Requests(stage)
    stage.thresholds = [Threshold(metric="error_rate", warning=5, min_requests=20)]
    stage.tick()
    requests.serve(3, failed=1)
    assert [] == stage.run(400)
    requests.serve(20, failed=2)
    assert ["warning firing"] == stage.run(10)


def test_old_errors_leave_the_window(stage: Stage) -> None:
    """Errors older than five minutes are no reason for an alert."""
    requests = Requests(stage)
    stage.thresholds = [Threshold(metric="error_rate", warning=5, duration=30)]
    stage.tick()
    requests.serve(100, failed=50)
    assert ["warning firing"] == stage.run(40)

    def traffic() -> list[str]:
        requests.serve(50)
        return stage.run(30)

    notified = [event for _ in range(14) for event in traffic()]
    assert ["warning resolved"] == notified


def test_new_leader_knows_the_window(stage: Stage) -> None:
    """The error rate survives a change of leader: it is not computed from zero."""
    requests = Requests(stage)
    stage.thresholds = [Threshold(metric="error_rate", warning=5, duration=60)]
    stage.tick()
    requests.serve(100, failed=50)
    stage.run(50)
    stage.restart()

    assert ["warning firing"] == stage.run(20)


def test_counters_that_begin_anew_are_no_errors(stage: Stage) -> None:
    """All workers restarted: the window begins again, and new errors count at once."""
    requests = Requests(stage)
    stage.thresholds = [Threshold(metric="error_rate", warning=5)]
    requests.serve(1000, failed=1)
    stage.run(60)
    requests = Requests(stage)
    requests.serve(10)
    assert [] == stage.run(20)
    requests.serve(100, failed=50)

    assert ["warning firing"] == stage.run(20)


def test_p95_and_average_are_seconds(stage: Stage) -> None:
    """95 of 100 take 20 ms, 5 take 4 s: p95 is within its bucket, the average 0.219 s."""
    requests = Requests(stage)
    stage.thresholds = [
        Threshold(metric="response_time_p95", warning=0.01),
        Threshold(metric="response_time_avg", warning=0.01),
    ]
    stage.tick()
    requests.serve(95)
    requests.serve(5, seconds=4.0)
    stage.run(2)
    values = {n.name: n.value for n in stage.notices}

    assert pytest.approx(0.025) == values["response_time_p95"]
    assert pytest.approx(0.219) == values["response_time_avg"]


def test_probes_and_admin_pages_do_not_count(stage: Stage) -> None:
    """/readyz answers 503 on purpose; that is no error of the service."""
    requests = Requests(stage)
    stage.readings.excluded_routes = ("/readyz",)
    stage.thresholds = [Threshold(metric="error_rate", warning=5)]
    stage.tick()
    requests.serve(100, failed=100, route="/readyz")

    assert [] == stage.run(60)


def test_gauge_watches_the_worst_worker(stage: Stage) -> None:
    """A threshold on a gauge of one's own looks at all its series."""
    from proletto_otel.core.conventions import Metric

    depth = Metric(name="queue.depth", kind="gauge", unit="1", description="", attributes=("w",))
    registry = Registry()
    stage.readings.families = registry.collect
    stage.thresholds = [Threshold(metric="queue.depth", warning=100)]
    registry.gauge(depth).cell(("a",)).set(3)
    assert [] == stage.run(3)
    registry.gauge(depth).cell(("b",)).set(101)
    assert ["warning firing"] == stage.run(3)


def test_failing_source_has_no_data(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that raises takes no other indicator down."""
    monkeypatch.setattr("proletto_otel.core.internal_errors.strict", False)

    def broken() -> dict[str, float | None]:
        raise OSError("no /proc")

    stage.readings.system = broken
    stage.readings.health = lambda: [CheckState(name="database", status="unhealthy")]
    stage.thresholds = [CPU, *for_checks([("database", True)])]

    assert ["critical firing"] == stage.run(3)


def test_alert_repeats_as_set(stage: Stage) -> None:
    """`PROLETTO_ALERT_REPEAT`: what goes on is notified again, by the next leader too."""
    stage.thresholds, stage.repeat_s = [CPU], 600.0
    stage.restart()
    stage.values["cpu_percent"] = 90.0
    assert ["warning firing"] == stage.run(70)
    stage.restart()
    assert [] == stage.run(590, step=10)
    assert ["warning firing"] == stage.run(20, step=10)
    assert 2 == len(stage.notices)


def test_critical_alert_counts_since_its_own_limit(stage: Stage) -> None:
    """A value that passed the warning limit first: the message says how long it is critical."""
    stage.thresholds = [Threshold(metric="cpu_percent", warning=80, critical=95, duration=7)]
    stage.values["cpu_percent"] = 90.0
    stage.run(11)
    stage.values["cpu_percent"] = 99.0
    passed = stage.clock.now() + 1
    stage.run(10)

    assert "CPU usage is 99 %, above 95 % for 7 s" == stage.notices[-1].summary
    assert passed == stage.notices[-1].since


def test_locked_store_silences_no_alert(stage: Stage) -> None:
    """While the store cannot be written the alert is notified by this process, once."""
    people = Receiver()
    outbox = stage.store.outbox
    stage.evaluator.notifiers = [Notifier(people, outbox, ledger=Ledger(Registry()))]
    stage.thresholds = [CPU]
    stage.values["cpu_percent"] = 90.0
    stage.run(50)
    locked = sqlite3.connect(stage.directory / "store.sqlite", isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    try:
        for _ in range(3):
            stage.clock.mono += 20
            stage.evaluator.tick()
        until(lambda: people.heard, what="the alert")
    finally:
        locked.execute("ROLLBACK")
        locked.close()
    stage.values["cpu_percent"] = 10.0
    stage.run(100)
    until(lambda: len(people.heard) > 1, what="its end")

    assert ["warning firing", "warning resolved"] == people.heard


def test_p95_is_that_of_the_requests(stage: Stage) -> None:
    """40 requests of 1.05 s: the histogram's bucket ends at 2.5 s, the percentile does not."""
    requests = Requests(stage)
    stage.thresholds = [Threshold(metric="response_time_p95", warning=2, min_requests=40)]
    stage.readings.durations = lambda: {str(bisect_left(EDGES, 1.05)): 40}
    stage.tick()
    requests.serve(40, seconds=1.05)
    assert [] == stage.run(60)
    stage.thresholds = [Threshold(metric="response_time_p95", warning=1, min_requests=40)]
    assert ["warning firing"] == stage.run(5)
    assert 1.05 == pytest.approx(stage.notices[-1].value, rel=0.05)


def test_p95_needs_enough_requests(stage: Stage) -> None:
    """The traffic guard counts the same requests as the percentile."""
    stage.thresholds = [Threshold(metric="response_time_p95", warning=1, min_requests=40)]
    stage.readings.durations = lambda: {str(bisect_left(EDGES, 9.0)): 39}

    assert [] == stage.run(60)


@pytest.mark.parametrize(
    ("away_s", "said"), [(3600, []), (20 * 3600, []), (25 * 3600, ["warning firing"])]
)
def test_threshold_that_comes_back_the_same_day_is_not_told_again(
    stage: Stage, away_s: float, said: list[str]
) -> None:
    """A release without it for an hour is no new alert; after a day it is one."""
    other = Threshold(metric="memory_percent", warning=80, duration=60)
    stage.thresholds = [CPU, other]
    stage.values = {"cpu_percent": 90.0, "memory_percent": 10.0}
    assert ["warning firing"] == stage.run(70, step=10)
    stage.thresholds = [other]
    stage.restart()
    assert [] == stage.run(away_s, step=away_s / 4)
    stage.thresholds = [CPU, other]
    stage.restart()

    assert said == stage.run(100, step=10)
