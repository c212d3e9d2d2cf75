"""Our own failures: silent for the app, counted, said once a minute."""

import logging
import subprocess
import sys

import pytest

from proletto_otel.core import internal_errors as room
from proletto_otel.core.conventions import INTERNAL_ERRORS
from proletto_otel.core.metrics.registry import registry


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users run it: nothing of ours is raised."""
    monkeypatch.setattr(room, "strict", False)
    room.forget_logged()


@pytest.mark.usefixtures("production")
def test_failure_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A failure of ours becomes a count and at most one log line a minute, without its text."""
    cell = registry.counter(INTERNAL_ERRORS).cell(("test.step",))
    before = cell.value

    with caplog.at_level(logging.WARNING, "proletto_otel"):
        for _ in range(3):
            with room.suppressed("test.step"):
                raise ValueError("a secret")

    assert before + 3 == cell.value
    assert ["telemetry step test.step failed: ValueError"] == caplog.messages


@pytest.mark.usefixtures("production")
def test_exit_requests_pass() -> None:
    """KeyboardInterrupt and SystemExit are never swallowed."""
    with pytest.raises(KeyboardInterrupt), room.suppressed("test.interrupt"):
        raise KeyboardInterrupt


def test_failure_is_raised_under_our_own_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """When strict, the failure cannot hide."""
    monkeypatch.setattr(room, "strict", True)
    with pytest.raises(ValueError, match="boom"), room.suppressed("test.strict"):
        raise ValueError("boom")


def test_counting_a_failure_needs_no_registry() -> None:
    """The registry imports this module to count callbacks that raise, never the other way."""
    code = (
        "import sys; from proletto_otel.core import internal_errors;"
        "print('proletto_otel.core.metrics.registry' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "False" == run.stdout.strip()
