"""What every test runs under: our swallowed failures are raised, nothing leaks between modules."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Generator

os.environ.setdefault("PROLETTO_STRICT", "1")
# read once, by whichever instrumentation is imported first: the order of the tests is random
os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")

import pytest

from tests.waiting import PATIENCE_S

# gunicorn ends a worker that serves one request for thirty seconds: as long as a page may take
# where each process has a twentieth of a core
os.environ.setdefault("GUNICORN_CMD_ARGS", f"--timeout={PATIENCE_S:.0f}")

with contextlib.suppress(ImportError):  # some environments that run a part of the suite lack it
    from hypothesis import HealthCheck, settings

    # No time decides whether a test passes: on a busy machine an example may take long to make.
    settings.register_profile(
        "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """After the last test of a module, end the telemetry that one of its tests left set up.

    The next module would find its handler on the root logger: an error that it logs is then known
    already and reported no more.
    """
    yield
    if nextitem is None or nextitem.path != item.path:
        end_what_was_left()


def end_what_was_left() -> None:
    """End the process's telemetry, if there is one, and take our handlers from the root logger."""
    from proletto_otel.logs.api.foreign_handlers import OwnHandler
    from proletto_otel.setup import telemetry

    if telemetry.current_telemetry() is not None:
        telemetry.reset()
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, OwnHandler)]:
        root.removeHandler(handler)
