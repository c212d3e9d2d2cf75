"""Checks that raise, hang, or return nonsense are unhealthy, and disturb nobody."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import threading
import time
from typing import Any

import pytest
from opentelemetry import context as otel

from proletto_otel.core.errors import ConfigError
from proletto_otel.health.checks import Check, Runner
from proletto_otel.health.results import HealthResult
from tests.waiting import PATIENCE_S, slowness, until


def outcome(function: Any, **settings: Any) -> tuple[str, str]:
    """Status and message of one run."""
    run = Runner(Check(name="it", function=function, **settings)).start()()
    return run.status, run.message


class BadText(Exception):
    """An error that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def raising(error: BaseException) -> Any:
    """A check that raises."""

    def check() -> None:
        raise error

    return check


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (True, "healthy"),
        (None, "healthy"),
        (False, "unhealthy"),
        ("degraded", "degraded"),
        ("OK", "healthy"),
        (HealthResult("degraded", "slow disk"), "degraded"),
        ({"status": "healthy"}, "healthy"),
        # junk
        (math.nan, "unhealthy"),
        (1, "unhealthy"),
        (0, "unhealthy"),
        (object(), "unhealthy"),
        ("all good", "unhealthy"),
        (HealthResult("fine"), "unhealthy"),
        ({}, "unhealthy"),
        ([], "unhealthy"),
        (b"healthy", "unhealthy"),
    ],
)
def test_answer_is_read_strictly(answer: object, status: str) -> None:
    """A bool, None, a status or a HealthResult; anything else is unhealthy, never an error."""
    assert status == outcome(lambda: answer)[0]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("refused\nsecond line"), "ConnectionError: refused"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit: 3"),
        (BadText(), "BadText"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_raising_check_is_unhealthy(error: BaseException, message: str) -> None:
    """BaseException included; the message is one line."""
    assert ("unhealthy", message) == outcome(raising(error))


def test_async_check_is_awaited() -> None:
    """A check may be a coroutine function."""

    async def check() -> bool:
        await asyncio.sleep(0)
        return True

    assert "healthy" == outcome(check)[0]


def test_async_check_that_hangs_is_cancelled() -> None:
    """Its thread ends; the answer says timeout."""
    ended = threading.Event()

    async def check() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    status, message = outcome(check, timeout=0.2)

    assert ("unhealthy", "timeout: no answer within 0.2 s") == (status, message)
    assert ended.wait(PATIENCE_S)


def test_slow_success_is_degraded() -> None:
    """degraded_above: it works, but too slowly."""
    status, message = outcome(lambda: time.sleep(0.05), degraded_above=0.01)

    assert "degraded" == status
    assert re.fullmatch(r"slow: took \d+\.\d+ s, more than 0\.01 s", message)


def test_hanging_check_uses_one_thread_however_many_ask() -> None:
    """One stuck thread per check, and each caller is answered within the deadline."""
    release, started = threading.Event(), []

    def check() -> None:
        started.append(1)
        release.wait(30)

    runner = Runner(Check(name="hung", function=check, timeout=0.3))
    answers: list[str] = []
    began = time.monotonic()
    askers = [
        threading.Thread(target=lambda: answers.append(runner.start()().status)) for _ in range(100)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    took = time.monotonic() - began
    threads = [t for t in threading.enumerate() if t.name == "proletto-health-hung"]
    release.set()

    assert ["unhealthy"] * 100 == answers
    assert (1, 1) == (len(threads), len(started))
    assert took < 5 * slowness()  # a hundred deadlines one after the other would be 30 s


def test_check_that_comes_back_late_is_asked_again() -> None:
    """A dependency that woke up recovers with the next run."""
    release = threading.Event()
    runner = Runner(Check(name="late", function=lambda: release.wait(30) or None, timeout=0.1))
    assert "unhealthy" == runner.start()().status
    release.set()
    until(lambda: runner.start()().status == "healthy")


def test_forked_child_does_not_wait_for_the_parents_thread() -> None:
    """A check that ran while the process forked runs anew in the child."""
    release = threading.Event()
    answers = iter([lambda: release.wait(30), lambda: True])
    runner = Runner(Check(name="fork", function=lambda: bool(next(answers)()), timeout=0.2))
    assert "unhealthy" == runner.start()().status
    runner.forked()
    again = runner.start()().status
    release.set()

    assert "healthy" == again


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 65},
        {"function": "SELECT 1"},
        {"timeout": 0},
        {"timeout": math.inf},
        {"timeout": 61},
        {"timeout": True},
        {"degraded_above": 3},
        {"degraded_above": -1},
    ],
)
def test_check_that_cannot_work_is_refused(change: dict[str, Any]) -> None:
    """At registration, with the argument named."""
    arguments = {"name": "db", "function": bool, "timeout": 2.0, **change}
    with pytest.raises(ConfigError, match="expected"):
        Check(**arguments)


def test_checks_make_no_spans_and_need_no_instrumentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context says what instrumented drivers look for, also where none is installed."""
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.utils", None)

    assert outcome(lambda: otel.get_value("suppress_instrumentation")) == ("healthy", "")
    assert otel.get_value("suppress_instrumentation") is None
