"""The engine: one answer for all workers, at most one run at a time, never late."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from proletto_otel.health import probes
from proletto_otel.health import store as health_store
from proletto_otel.health.checks import Check, CheckFunction
from proletto_otel.health.engine import RETRY_S, HealthEngine, Schedule
from proletto_otel.health.results import Outcome
from proletto_otel.health.states import Rules
from proletto_otel.health.store import HealthStore
from proletto_otel.state.store import Store
from tests.waiting import PATIENCE_S, slowness, until


class Time:
    """Monotonic and unix time, moved by hand."""

    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def __call__(self) -> float:
        return self.at


class Service:
    """A dependency that the test breaks and repairs."""

    def __init__(self) -> None:
        self.works = True
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.works


def engine(directory: Path | None, clock: Time | None = None, enabled: bool = True) -> HealthEngine:
    """An engine as one worker has it."""
    shared = HealthStore(Store(directory), Rules(failures=3), **({"now": clock} if clock else {}))
    schedule = Schedule(enabled=enabled, interval_s=60)
    if clock is None:
        return HealthEngine(shared, schedule)
    return HealthEngine(shared, schedule, now=clock, clock=clock)


def with_check(made: HealthEngine, function: CheckFunction, **settings: bool) -> HealthEngine:
    """The engine, watching `db`."""
    made.register(Check(name="db", function=function, **settings))
    return made


def status(made: HealthEngine) -> str:
    """The state of `db`."""
    return made.states()[0].status


def test_workers_agree_through_the_store(tmp_path: Path) -> None:
    """The leader runs the checks; every worker's /readyz says the same without running them."""
    service, clock = Service(), Time()
    leader, worker = (with_check(engine(tmp_path, clock), service) for _ in range(2))
    leader.run_now()
    assert "healthy" == status(worker)
    service.works = False
    for _ in range(3):
        clock.at += 60
        leader.run_now()
    asked = service.asked

    assert "unhealthy" == status(worker)
    assert asked == service.asked


def test_stale_results_are_not_believed(tmp_path: Path) -> None:
    """Nobody ran the checks for long: whoever is asked runs them."""
    service, clock = Service(), Time()
    leader, worker = (with_check(engine(tmp_path, clock), service) for _ in range(2))
    leader.run_now()
    service.works = False
    clock.at += 131

    assert "unknown" == status(worker)
    assert 1 == worker.states()[0].failures


def test_without_a_schedule_answers_are_cached(tmp_path: Path) -> None:
    """MONITOR_SCHEDULED_CHECKS=0: on demand, at most once per cache time whoever asks."""
    service, clock = Service(), Time()
    one, two = (with_check(engine(tmp_path, clock, enabled=False), service) for _ in range(2))
    for _ in range(50):
        assert ("healthy", "healthy") == (status(one), status(two))
    assert 1 == service.asked
    clock.at += 4.9
    assert ("healthy", "healthy") == (status(one), status(two))
    assert 1 == service.asked
    clock.at += 1.1
    assert "healthy" == status(two)

    assert 2 == service.asked


def test_failures_on_demand_are_counted_once_a_second(tmp_path: Path) -> None:
    """A storm of probes does not make one failure three."""
    service, clock = Service(), Time()
    one, two = (with_check(engine(tmp_path, clock, enabled=False), service) for _ in range(2))
    assert "healthy" == status(one)
    service.works = False
    clock.at += 5.1
    for worker in (one, two, one, two, one, two):
        assert "degraded" == status(worker)
    clock.at += 1.1
    assert "degraded" == status(one)
    clock.at += 1.1

    assert "unhealthy" == status(two)


def test_two_workers_at_the_same_moment_count_one_failure(tmp_path: Path) -> None:
    """Both ran the check; the slower one's failure is the same failure."""
    clock = Time()
    one, two = (HealthStore(Store(tmp_path), Rules(failures=2), now=clock) for _ in range(2))
    failure = [Outcome(name="db", status="unhealthy")]
    one.record(failure, lambda name: True, min_age_s=0.5)
    clock.at += 0.2

    assert 1 == two.record(failure, lambda name: True, min_age_s=0.5)["db"].failures
    clock.at += 0.6
    assert 2 == one.record(failure, lambda name: True, min_age_s=0.5)["db"].failures


def test_hundred_probes_of_a_hanging_check_are_answered_within_the_deadline() -> None:
    """H1: each reply within the timeout, one thread for the check."""
    release = threading.Event()
    made = engine(None, enabled=False)
    made.register(Check(name="hung", function=lambda: release.wait(60), timeout=1.0))
    replies: list[tuple[float, str]] = []

    def probe() -> None:
        began = time.monotonic()
        (state,) = made.states()
        replies.append((time.monotonic() - began, state.message))

    probers = [threading.Thread(target=probe) for _ in range(100)]
    for prober in probers:
        prober.start()
    for prober in probers:
        prober.join()
    threads = [t for t in threading.enumerate() if t.name == "proletto-health-hung"]
    until(lambda: made.states()[0].status == "unhealthy")
    ready = probes.ready(made.states())
    release.set()

    assert 100 == sum("timeout" in message for _, message in replies)
    assert 1 == len(threads)
    assert not ready
    # the deadline is what is promised here
    assert max(took for took, _ in replies) < 2.0 * slowness()


def test_one_broken_check_does_not_hide_the_others(tmp_path: Path) -> None:
    """H2: others are still reported."""
    made = with_check(engine(tmp_path), lambda: True)

    def broken() -> None:
        raise SystemExit(1)

    made.register(Check(name="broken", function=broken))

    assert {"db": "healthy", "broken": "unknown"} == {s.name: s.status for s in made.states()}


def test_changes_are_remembered_with_their_times(tmp_path: Path) -> None:
    """History of state changes; uptime per check."""
    service, clock = Service(), Time()
    made = with_check(engine(tmp_path, clock), service)
    for works in (True, True, False, False, False, True):
        service.works = works
        made.run_now()
        clock.at += 60
    changes = made.history("db")

    assert ["healthy", "degraded", "unhealthy", "healthy"] == [c.status for c in changes]
    assert [120.0, 120.0, 60.0] == [b.at - a.at for a, b in pairwise(changes)]
    day = made.uptime(made.states()[0])
    assert (pytest.approx(300 / 360), pytest.approx(360)) == (day.share, day.known_s)


def test_check_that_flaps_for_ever_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest changes stay, those of more than a quarter of a year ago go."""
    monkeypatch.setattr(health_store, "MAX_TRANSITIONS", 10)
    service, clock = Service(), Time()
    made = with_check(engine(tmp_path, clock), service)
    for turn in range(30):
        service.works = turn % 2 == 0
        made.run_now()
        clock.at += 60
    changes = made.history("db")

    assert 10 == len(changes)
    assert clock.at - 60 == changes[-1].at
    clock.at += 91 * 86400
    service.works = True
    made.run_now()
    assert all(clock.at - change.at < 90 * 86400 + 60 for change in made.history("db"))


def test_round_runs_off_the_callers_thread_and_alone() -> None:
    """The leader's ticker is not held up by a check that hangs."""
    release = threading.Event()
    made = with_check(engine(None), lambda: release.wait(60))
    began = time.monotonic()
    for _ in range(5):
        made.run_scheduled()
    took = time.monotonic() - began
    rounds = [t for t in threading.enumerate() if t.name == "proletto-health-round"]
    release.set()

    assert took < 1 * slowness()
    assert 1 == len(rounds)
    until(lambda: status(made) == "healthy")


def test_secrets_do_not_stay_in_messages(tmp_path: Path) -> None:
    """What a driver says passes the redactor before it is stored."""
    shared = HealthStore(Store(tmp_path), Rules())
    made = HealthEngine(
        shared, Schedule(), redact=lambda text: text.replace("hunter2", "[redacted]")
    )

    def refused() -> None:
        raise ConnectionError("postgresql://app:hunter2@db/shop refused")

    with_check(made, refused).run_now()

    assert "ConnectionError: postgresql://app:[redacted]@db/shop refused" == (
        made.states()[0].message
    )


def test_store_that_is_gone_leaves_each_process_its_own_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a shared directory checks still work."""
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    monkeypatch.setattr("proletto_otel.state.store.RETRY_S", 1000)
    made = with_check(engine(blocked / "state"), lambda: True)

    assert "healthy" == status(made)


@pytest.mark.parametrize(
    ("critical", "statuses", "code", "word"),
    [
        (True, [True], 200, "pass"),
        (True, [True, False], 200, "warn"),
        (True, [True, False, False, False], 503, "fail"),
        (False, [True, False, False, False], 200, "warn"),
        (True, [False], 503, "fail"),
        (False, [False], 200, "warn"),
    ],
)
def test_readiness_fails_only_with_a_critical_check(
    critical: bool, statuses: list[bool], code: int, word: str
) -> None:
    """/readyz: 503 when a critical check is unhealthy, or failed and never worked."""
    service = Service()
    made = with_check(engine(None), service, critical=critical)
    for works in statuses:
        service.works = works
        made.run_now()
    answered, body = probes.readiness(made.states(), detailed=False)

    assert (code, {"status": word}) == (answered, body)


def test_details_follow_the_health_json_draft(tmp_path: Path) -> None:
    """application/health+json: status, checks with time, observedValue, output."""
    made = with_check(engine(tmp_path), lambda: False)
    made.run_now()
    body = probes.body(made.states(), detailed=True)
    (entry,) = body["checks"]["db"]

    assert ("warn", "unknown", True, "ms") == (
        entry["status"], entry["state"], entry["critical"], entry["observedUnit"],
    )  # fmt: skip
    assert "the check returned False" == entry["output"]
    assert entry["time"].endswith("Z")


def test_a_dependency_that_comes_up_is_seen_before_the_next_round(tmp_path: Path) -> None:
    """With a schedule, too: what fails is asked again within seconds, what works is not."""
    clock, broken, other = Time(), Service(), Service()
    broken.works = False
    made = with_check(engine(tmp_path, clock), broken)
    made.register(Check(name="other", function=other))
    made.run_now()
    asked = other.asked
    broken.works = True
    clock.at += RETRY_S
    made.retry_failing()
    until(lambda: made.shared.load()["db"].status == "healthy")

    assert asked == other.asked
    clock.at += 1.1
    assert "healthy" == status(made)


def test_only_scheduled_rounds_make_a_check_unhealthy(tmp_path: Path) -> None:
    """Asking again does not count as a failure: three of them in a row take three rounds."""
    clock, broken = Time(), Service()
    broken.works = False
    made = with_check(engine(tmp_path, clock), broken)
    made.run_now()
    for asked in range(2, 12):
        clock.at += RETRY_S
        made.retry_failing()
        until(lambda asked=asked: broken.asked == asked)  # type: ignore[misc]
        flight = made._retry._flight
        assert flight is not None  # `join` would start another one when it is over
        assert flight.wait(PATIENCE_S)

    assert 1 == made.shared.load()["db"].failures


def test_nothing_is_asked_again_while_all_is_well(tmp_path: Path) -> None:
    """No thread, no question."""
    service = Service()
    made = with_check(engine(tmp_path, Time()), service)
    made.run_now()
    made.retry_failing()

    assert 1 == service.asked
