"""The `monitor` object: what programs register and read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.core import internal_errors
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.metrics.registry import registry
from proletto_otel.monitoring import HealthResult, Monitor
from proletto_otel.monitoring.request_summary import OwnRoutes, recent_durations
from proletto_otel.request import durations
from proletto_otel.request.route_summary import RouteSummary
from tests.monitoring.bound import Bound


def until(bound: Bound, holds: Any) -> None:
    """Tick until *holds*."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        bound.tick()
        time.sleep(0.01)


def test_example_of_the_specification() -> None:
    """register_threshold(metric=…, warning_threshold=…, critical_threshold=…, duration=…)."""
    monitor = Monitor()

    # Register a threshold for CPU usage
    made = monitor.register_threshold(
        metric="cpu_percent",
        warning_threshold=80,
        critical_threshold=95,
        duration=300,  # Must exceed threshold for 5 minutes
    )

    assert ("cpu_percent", 80, 95, 300, "above") == (
        made.metric, made.warning, made.critical, made.duration, made.direction,
    )  # fmt: skip


@pytest.mark.parametrize("metric", sorted(INDICATORS))
def test_every_metric_of_the_specification_is_known(metric: str) -> None:
    """System metrics, load averages, error rate, response times."""
    assert metric == Monitor().register_threshold(metric, critical_threshold=1).metric


@pytest.mark.parametrize("metric", ["cpu", "cpu_percent ", "", None, 7, "queue.depth", "health:x"])
def test_unknown_metric_is_refused_and_the_known_ones_named(metric: Any) -> None:
    """A ConfigError that names what fits."""
    with pytest.raises(ConfigError) as caught:
        Monitor().register_threshold(metric, warning_threshold=1)

    assert f"metric={metric!r}" in str(caught.value)
    assert "cpu_percent, memory_percent, disk_percent" in str(caught.value)


def test_registrations_before_set_up_take_effect(tmp_path: Path) -> None:
    """The monitor can be used before telemetry exists."""
    bound = Bound(tmp_path)
    other = Monitor()
    other.register_threshold("cpu_percent", warning_threshold=10)
    other.register_health_check("stock", lambda: True)
    assert [] == other.get_alerts()
    assert {} == other.get_system_metrics()
    other.binding.now(bound.inputs())
    names = [alert.name for alert in other.get_alerts()]
    other.binding.release()
    bound.close()

    assert {"cpu_percent", "health:stock"} <= set(names)


def test_own_threshold_replaces_the_default(bound: Bound) -> None:
    """One verdict per metric: a default gives way, a second own one needs a name."""
    bound.monitor.register_threshold("cpu_percent", warning_threshold=50)
    bound.monitor.register_threshold("cpu_percent", warning_threshold=60)
    bound.monitor.register_threshold("cpu_percent", critical_threshold=99, name="cpu_burn")
    limits = {a.name: (a.warning, a.critical) for a in bound.monitor.get_alerts()}

    assert (60, None) == limits["cpu_percent"]
    assert (None, 99) == limits["cpu_burn"]
    assert (85, 95) == limits["disk_percent"]


def test_defaults_can_be_switched_off(tmp_path: Path) -> None:
    """PROLETTO_DEFAULT_THRESHOLDS=0."""
    bound = Bound(tmp_path, default_thresholds=False)
    alerts = bound.monitor.get_alerts()
    bound.close()

    assert [] == alerts


def test_alert_reaches_log_and_slack_once(bound: Bound) -> None:
    """Log entries, and Slack for critical alerts; the recovery too."""
    bound.monitor.register_threshold("cpu_percent", warning_threshold=80, critical_threshold=95)
    bound.values["cpu_percent"] = 99.0
    for _ in range(5):
        bound.tick()
    assert [(40, "HighCpu: CPU usage is 99 %, above 95 %")] == bound.logged
    assert 1 == len(bound.slack)
    bound.values["cpu_percent"] = 5.0
    for _ in range(5):
        bound.tick()

    assert [40, 20] == [level for level, _ in bound.logged]
    assert 2 == len(bound.slack)
    assert ["resolved", "firing"] == [n.event for n in bound.monitor.get_notices()]


def test_state_of_an_alert_can_be_read(bound: Bound) -> None:
    """get_alerts: pending, then firing, worst first."""
    bound.monitor.register_threshold("cpu_percent", warning_threshold=10, duration=300)
    bound.monitor.register_threshold("load_1", critical_threshold=1)
    bound.values["load_1"] = 3.0
    bound.tick()
    first, second = bound.monitor.get_alerts()[:2]

    assert ("load_1", "firing", "critical", 3.0) == (
        first.name, first.state, first.severity, first.value,
    )  # fmt: skip
    assert ("cpu_percent", "pending", "ok") == (second.name, second.state, second.severity)
    assert ["load_1"] == [alert.name for alert in bound.monitor.get_alerts(firing=True)]


def test_health_is_read_from_checks(bound: Bound) -> None:
    """get_health: the service's status and every check's."""
    bound.monitor.register_health_check("db", lambda: True)
    bound.monitor.register_health_check(
        "mail", lambda: HealthResult("degraded", "queue long"), critical=False
    )
    report = bound.monitor.get_health()

    assert ("degraded", True) == (report.status, report.ready)
    assert [("db", "healthy", ""), ("mail", "degraded", "queue long")] == [
        (c.name, c.status, c.message) for c in report.checks
    ]


def test_failing_check_alerts_with_its_reason(bound: Bound) -> None:
    """Alerts on health state changes; the message says what the check said."""
    works = [True]

    def stock() -> None:
        if not works[0]:
            raise ConnectionError("stock refused")

    bound.monitor.register_health_check("stock", stock)
    until(bound, lambda: bound.monitor.health_history("stock"))
    works[0] = False
    until(bound, lambda: bound.slack)

    assert [
        "HealthCheckFailing: Health check stock is unhealthy: ConnectionError: stock refused"
    ] == [message for _, message in bound.logged]
    assert ["healthy", "degraded", "unhealthy"] == [
        change.status for change in bound.monitor.health_history("stock")
    ]


def test_unregistered_check_is_gone(bound: Bound) -> None:
    """Neither state nor alert remain."""
    bound.monitor.register_health_check("stock", lambda: True)
    bound.monitor.get_health()
    bound.monitor.unregister("stock")

    assert () == bound.monitor.get_health().checks
    assert "health:stock" not in [a.name for a in bound.monitor.get_alerts()]


def test_gauge_of_ones_own_has_thresholds_and_is_exported(bound: Bound) -> None:
    """register_gauge, then register_threshold on it."""
    depth = [3.0]
    bound.monitor.register_gauge("queue_depth", lambda: depth[0], title="Jobs waiting")
    bound.monitor.register_threshold("queue_depth", warning_threshold=100)
    bound.tick()
    depth[0] = 250.0
    bound.tick()

    assert [(30, "CustomGauge: Jobs waiting is 250, above 100")] == bound.logged
    assert [250.0] == [
        p.value for f in registry.collect() if f.name == "queue_depth" for p in f.points
    ]


@pytest.mark.parametrize("name", ["", "9x", "a b", "cpu_percent", None])
def test_gauge_needs_a_name_of_its_own(bound: Bound, name: Any) -> None:
    """A bad or taken name is a ConfigError."""
    with pytest.raises(ConfigError):
        bound.monitor.register_gauge(name, lambda: 1.0)


def test_silence_and_acknowledge(bound: Bound) -> None:
    """With who and until when; shown on the alert; ended by hand."""
    bound.monitor.register_threshold("cpu_percent", warning_threshold=10)
    bound.monitor.silence("cpu_percent", 60, by="ada", reason="deploy")
    bound.tick()
    assert [] == bound.logged
    (alert, *_) = bound.monitor.get_alerts(firing=True)
    assert alert.silenced_until == pytest.approx(time.time() + 60, abs=30)
    assert bound.monitor.unsilence("cpu_percent")
    bound.tick()
    assert 1 == len(bound.logged)
    acknowledged = bound.monitor.acknowledge("cpu_percent", by="bob")

    assert acknowledged is not None
    assert ("bob", "warning") == (acknowledged.by, acknowledged.level)
    assert "bob" == bound.monitor.get_alerts()[0].acknowledged_by


@pytest.mark.parametrize(
    ("name", "seconds", "by"), [("cpu", 60, "ada"), ("cpu_percent", -1, "ada"), ("*", 60, " ")]
)
def test_silence_that_means_nothing_is_refused(
    bound: Bound, name: str, seconds: float, by: str
) -> None:
    """Unknown alert, no time, nobody."""
    with pytest.raises(ConfigError, match="expected"):
        bound.monitor.silence(name, seconds, by=by)


def test_history_of_a_metric(bound: Bound) -> None:
    """history(metric, since): seconds back, or a unix time."""
    now = time.time()
    bound.samples["cpu_percent"] = [(now - 7200, 1.0), (now - 60, 2.0)]

    assert [2.0] == [v for _, v in bound.monitor.history("cpu_percent")]
    assert [1.0, 2.0] == [v for _, v in bound.monitor.history("cpu_percent", 1e9 + 1)]
    with pytest.raises(ConfigError):
        bound.monitor.history("cpu")


def test_requests_and_gauges_are_kept_for_trends(bound: Bound) -> None:
    """history has more than the host: error rate, response times, own gauges."""
    bound.monitor.register_gauge("queue_depth", lambda: 3.0)
    bound.tick()
    bound.tick()

    assert {"error_rate", "response_time_avg", "response_time_p95", "queue_depth"} == set(
        bound.stored[-1]
    )
    assert 3.0 == bound.stored[-1]["queue_depth"]


def test_requests_are_added_up(bound: Bound) -> None:
    """get_api_metrics: count, errors, error rate, average, minimum, maximum."""
    bound.routes = [
        RouteSummary(
            method="GET", route="/a", count=3, errors=1, total_s=0.6, min_s=0.1, max_s=0.3
        ),
        RouteSummary(method="POST", route="/b", count=1, total_s=0.4, min_s=0.4, max_s=0.4),
    ]  # fmt: skip
    found = bound.monitor.get_api_metrics()

    assert {
        "count": 4, "errors": 1, "error_rate": 25.0, "average_s": 0.25, "min_s": 0.1, "max_s": 0.4,
        "p50_s": None, "p95_s": None, "p99_s": None,
    } == found["total"]  # fmt: skip
    assert pytest.approx(100 / 3) == found["endpoints"][0]["error_rate"]


def test_percentiles_of_all_lie_between_the_fastest_and_the_slowest(bound: Bound) -> None:
    """Of two endpoints together: no percentile outside of what was measured, none cut too short."""
    bound.routes = [
        RouteSummary(method="GET", route=f"/{s}", count=5, min_s=s, max_s=s, older={bucket: 5})
        for s, bucket in ((0.0101, _bucket(0.0101)), (2.01, _bucket(2.01)))
    ]
    found = bound.monitor.get_api_metrics()["total"]

    assert 0.0101 <= found["p50_s"] < 0.011
    assert 1.9 < found["p99_s"] <= 2.01


def _bucket(seconds: float) -> str:
    return str(next(i for i, edge in enumerate(durations.EDGES) if edge >= seconds))


def test_rate_has_one_unit(bound: Bound) -> None:
    """A threshold's `error_rate` and that of the API are per cent of requests."""
    bound.routes = [RouteSummary(method="GET", route="/a", count=41, errors=10)]
    rate = bound.monitor.get_api_metrics()["total"]["error_rate"]

    assert f"{rate:.2f} %" == "24.39 %"
    assert "%" == INDICATORS["error_rate"].unit


def test_states_are_exported_by_the_leader_alone(bound: Bound) -> None:
    """proletto.health.check.status and proletto.alert.state: once per host."""
    bound.monitor.register_health_check("db", lambda: True)
    bound.monitor.get_health()
    bound.tick()

    def series() -> dict[str, int]:
        ours = ("proletto.health.", "proletto.alert.")  # an exporter of another test has its own
        found = (f for f in registry.collect() if f.name.startswith(ours))
        return {f.name: len(f.points) for f in found if f.per == "host"}

    assert 4 == series()["proletto.health.check.status"]
    assert 1 == series()["proletto.health.check.duration"]
    assert bound.monitor.binding.runtime is not None
    bound.monitor.binding.runtime.shares.stop(0)
    assert {} == series()


def test_only_levels_with_a_limit_have_a_state(bound: Bound) -> None:
    """A threshold that has no warning is never at warning: it has no series for it."""
    bound.monitor.register_threshold("cpu_percent", critical_threshold=95)
    bound.tick()
    (states,) = (f for f in registry.collect() if f.name == "proletto.alert.state")
    found = [[value for _, value in point.attributes] for point in states.points]

    assert ["critical"] == [values[-1] for values in found if "cpu_percent" in values]


def test_scheduled_results_are_believed_for_two_rounds_and_ten_seconds(tmp_path: Path) -> None:
    """One round that is late or lost makes no check unknown, whatever the interval is."""
    bound = Bound(tmp_path, monitor_health_check_interval=20)
    bound.monitor.register_health_check("db", lambda: True)
    bound.tick()
    believed = bound.engine.shared.rules.stale_after_s
    bound.close()

    assert 2 * 20 + 10 == believed


def test_scheduled_checks_can_be_switched_off(tmp_path: Path) -> None:
    """MONITOR_SCHEDULED_CHECKS=0: nothing runs until somebody asks."""
    asked: list[int] = []
    bound = Bound(tmp_path, monitor_scheduled_checks=False)
    bound.monitor.register_health_check("db", lambda: asked.append(1))
    for _ in range(3):
        bound.tick()
    before = len(asked)
    bound.monitor.get_health()
    bound.close()

    assert (0, 1) == (before, len(asked))


@pytest.mark.parametrize(
    ("metric", "limits", "warned"),
    [
        ("memory_percent", (0.8, 0.9), True),
        ("error_rate", (0.05, None), True),
        ("memory_percent", (80, 90), False),
        ("memory_percent", (1, 5), False),
        ("error_rate", (0.5, 5), False),
        ("response_time_p95", (0.2, 0.5), False),
    ],
)
def test_share_where_per_cent_is_meant_is_warned_about(
    metric: str, limits: tuple[float, float | None], warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """memory_percent above 0.8 would fire for ever: said once, with what fits."""
    internal_errors.forget_logged()
    made = Monitor().register_threshold(metric, *limits)

    assert limits == (made.warning, made.critical)
    assert warned == any("per cent" in message for message in caplog.messages)


def test_percentile_of_an_alert_is_that_of_the_last_minutes() -> None:
    """Old requests and those of probes say nothing about now."""
    minute = 29_000_000
    routes = [
        RouteSummary(method="GET", route="/a", recent=[[minute - 6, {"9": 5}], [minute, {"7": 2}]]),
        RouteSummary(method="GET", route="/b", recent=[[minute - 4, {"7": 1, "8": 1}]]),
        RouteSummary(method="GET", route="/livez", recent=[[minute, {"1": 100}]]),
    ]
    found = recent_durations(routes, OwnRoutes("/metrics", "/admin"), 60.0 * minute)

    assert {"7": 3, "8": 1} == found


def test_alerts_wait_for_the_values_of_the_host(bound: Bound) -> None:
    """A worker that starts beside the host's leader evaluates when that has measured the host."""
    bound.monitor.register_threshold("cpu_percent", warning_threshold=10)
    bound.is_system_known = False
    for _ in range(3):
        bound.tick()
    assert "unevaluated" not in {a.state for a in bound.monitor.get_alerts()}
    assert {None} == {a.evaluated_at for a in bound.monitor.get_alerts()}

    bound.is_system_known = True
    bound.tick()

    (cpu,) = [a for a in bound.monitor.get_alerts() if a.name == "cpu_percent"]
    assert "firing" == cpu.state
