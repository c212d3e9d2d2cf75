"""Processes of one service that registered different things: each thing is evaluated once."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from proletto_otel.monitoring.shares import DEFAULT, FORGET_S, REGISTERED, Registered, Shares
from proletto_otel.state import leader
from tests.monitoring.bound import Bound

CPU = "threshold:cpu_percent"
WEB: Registered = {CPU: (REGISTERED, "80"), "threshold:queue": (REGISTERED, "10"),
                   "check:db": (REGISTERED, "")}  # fmt: skip
CRON: Registered = {CPU: (DEFAULT, "90"), "check:ftp": (REGISTERED, "")}


def part(directory: Path, registered: Registered) -> Shares:
    """One process that registered this."""
    return Shares(directory, lambda: registered)


def evaluated(*shares: Shares) -> list[tuple[str, int]]:
    """Who (by position) evaluates what, after each looked around twice."""
    for _ in range(2):
        for share in shares:
            share.take()
    names = sorted({*WEB, *CRON})
    return [(name, i) for name in names for i, share in enumerate(shares) if name in share]


@pytest.mark.parametrize("order", [1, -1])
def test_everything_is_evaluated_once_whoever_came_first(tmp_path: Path, order: int) -> None:
    """A cron job that leads first takes no threshold over from the web workers."""
    web, cron = part(tmp_path, WEB), part(tmp_path, CRON)
    (web, cron)[::order][0].take()

    assert [("check:db", 0), ("check:ftp", 1), (CPU, 0), ("threshold:queue", 0)] == (
        evaluated(web, cron)
    )  # fmt: skip


def test_equal_registrations_have_one_leader(tmp_path: Path) -> None:
    """Of four workers one evaluates; when it goes another does."""
    first, second = part(tmp_path, WEB), part(tmp_path, WEB)
    assert [0, 0, 0] == [i for _, i in evaluated(first, second)]
    first.stop(time.monotonic())
    second.take()

    assert CPU not in first
    assert CPU in second
    assert [] == second.missing()


def test_default_that_two_have_goes_to_the_larger(tmp_path: Path) -> None:
    """Equal rank: who has more registered evaluates it, so a small script does not."""
    small: Registered = {CPU: (DEFAULT, "90")}
    web: Registered = {**small, "check:db": (REGISTERED, "")}
    a, b = part(tmp_path, small), part(tmp_path, web)

    assert [("check:db", 1), (CPU, 1)] == evaluated(a, b)


def test_what_a_killed_process_had_registered_is_missed(tmp_path: Path) -> None:
    """Killed, it leaves its file: nobody evaluates its check. Ended well, nobody misses it."""
    web, cron = part(tmp_path, WEB), part(tmp_path, CRON)
    evaluated(web, cron)
    web._leader.resign()  # as the kernel does for a killed process

    assert ["check:db", "threshold:queue"] == cron.missing()
    again = part(tmp_path, WEB)
    again.take()
    assert [] == cron.missing()
    again.stop(time.monotonic())
    assert [] == cron.missing()


def test_what_is_missed_for_an_hour_is_given_up(tmp_path: Path) -> None:
    """A deployment with other registrations is not held against the old ones for ever."""
    web, cron = part(tmp_path, WEB), part(tmp_path, CRON)
    evaluated(web, cron)
    web._leader.resign()
    (lock,) = (p for p in (tmp_path / "evaluators").glob("*.lock") if p.stem == web._digest)
    os.utime(lock, (time.time() - FORGET_S - 5,) * 2)

    assert [] == cron.missing()
    assert 1 == len(list((tmp_path / "evaluators").glob("*.json")))


def test_leader_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with a ticker that stands still loses its share to another of its kind."""
    hung, other = part(tmp_path, WEB), part(tmp_path, WEB)
    hung.take()
    monkeypatch.setattr(leader, "STUCK_S", -1.0)
    other.take()
    monkeypatch.setattr(leader, "STUCK_S", 30.0)
    other.take()
    assert CPU in other
    hung.take()

    assert CPU not in hung


def test_changed_registrations_are_a_new_set(tmp_path: Path) -> None:
    """What is registered later is evaluated, and nothing of the old set is missed."""
    registered = dict(CRON)
    cron, web = Shares(tmp_path, lambda: registered), part(tmp_path, WEB)
    evaluated(cron, web)
    del registered["check:ftp"]
    registered["check:sftp"] = (REGISTERED, "")
    cron.take()

    assert "check:sftp" in cron
    assert [] == web.missing()


def test_two_definitions_of_one_name_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One of both holds, and both processes say so."""
    internal_errors.forget_logged()
    evaluated(part(tmp_path, WEB), part(tmp_path, {CPU: (REGISTERED, "50")}))

    assert any(CPU in message for message in caplog.messages)


def test_without_a_shared_directory_each_is_for_itself() -> None:
    """Everything that a process registered is evaluated by it."""
    alone = Shares(None, lambda: WEB)
    alone.take()

    assert CPU in alone
    assert [] == alone.missing()


def test_broken_file_is_passed_over(tmp_path: Path) -> None:
    """What somebody else wrote there costs nobody its share."""
    web = part(tmp_path, WEB)
    web.take()
    for name, text in (("a.json", "{"), ("b.json", "[1]"), ("c.json", json.dumps({"x": 1}))):
        (tmp_path / "evaluators" / name).write_text(text)
    web.take()

    assert CPU in web
    assert [] == web.missing()


def test_damaged_registrations_are_written_again(tmp_path: Path) -> None:
    """The files of the state directory may be cut short or deleted at any time."""
    web = part(tmp_path, WEB)
    web.take()
    (path,) = (tmp_path / "evaluators").glob("*.json")
    before = path.read_bytes()
    path.write_bytes(b"")
    web.take()
    again = path.read_bytes()
    path.unlink()
    web.take()

    assert (before, before) == (again, path.read_bytes())


# --- as people see it --------------------------------------------------------------------------
def test_alert_that_nobody_evaluates_says_so(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `ok` nor `firing`: a state of its own, in alerts and in health."""
    bound.monitor.register_threshold("cpu_percent", warning_threshold=10)
    bound.tick()
    assert "firing" == bound.monitor.get_alerts()[0].state
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    (alert,) = [a for a in bound.monitor.get_alerts() if a.name == "cpu_percent"]

    assert ("unevaluated", pytest.approx(now, abs=10)) == (alert.state, alert.evaluated_at)
    assert "threshold:cpu_percent" in bound.monitor.get_health().unevaluated
    monkeypatch.setattr(time, "time", lambda: now + 1)
    bound.tick()
    assert "firing" == bound.monitor.get_alerts()[0].state
    assert () == bound.monitor.get_health().unevaluated


def test_people_are_told_what_nobody_evaluates(bound: Bound) -> None:
    """A process with a check that nobody else has was killed: a warning, and its end."""
    assert bound.monitor.binding.runtime is not None
    evaluator = bound.monitor.binding.runtime.evaluator
    clock = [time.monotonic()]
    evaluator._clock = lambda: clock[0]
    gone = part(bound.directory, {"check:ftp": (REGISTERED, ""), "gauge:depth": (REGISTERED, "")})
    gone.take()
    gone._leader.resign()
    for _ in range(5):
        bound.tick()
        clock[0] += 20

    assert [(30, "NotEvaluated: No process evaluates check:ftp")] == bound.logged
    gone.take()
    for _ in range(9):
        bound.tick()
        clock[0] += 20
    assert (20, "NotEvaluated: Everything that is registered is evaluated again") == (
        bound.logged[-1]
    )  # fmt: skip
    gone.stop(time.monotonic())


def test_two_processes_of_different_registrations(tmp_path: Path) -> None:
    """Each runs its own check and its own threshold, and the shared one is evaluated once."""
    web, cron = Bound(tmp_path), Bound(tmp_path)
    ran: list[str] = []
    web.monitor.register_threshold("cpu_percent", warning_threshold=10)
    web.monitor.register_health_check("db", lambda: ran.append("db"))
    cron.monitor.register_health_check("ftp", lambda: ran.append("ftp"))
    try:
        for _ in range(3):
            cron.tick()
            web.tick()
        time.sleep(0.1)
        logged = web.logged + cron.logged
        states = {a.name: a.state for a in web.monitor.get_alerts()}
    finally:
        cron.close()
        web.close()

    assert {"db", "ftp"} == set(ran)
    assert [(30, "HighCpu: CPU usage is 12.5 %, above 10 %")] == logged
    assert "firing" == states["cpu_percent"]


def test_ticker_runs_a_job_at_once_when_its_condition_comes(bound: Bound) -> None:
    """Who takes over evaluates at once, not at the end of an interval that it waited through."""
    may, ran = [False], []
    bound.ticker.every(3600, "job", lambda: ran.append(1), when=lambda: may[0])
    bound.ticker.tick()
    before, pause_s = list(ran), bound.ticker.tick()
    may[0] = True
    bound.ticker.tick()

    assert ([], [1]) == (before, ran)
    assert pause_s > 0, "a job that must wait is no reason to come round at once"
