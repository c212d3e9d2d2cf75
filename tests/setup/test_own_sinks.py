"""A sink of the application's own gets every record, whichever call comes first."""

from __future__ import annotations

import time

import pytest

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import Record, Sink, add_sink, logger
from proletto_otel.testing import TelemetryCapture


class Pager(Sink):
    """Needs a connection, as a real one does: what comes before its start is an error."""

    name = "pager"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def write(self, record: Record) -> None:
        self.calls.append(record.message)

    def stop(self, deadline: float) -> None:
        assert deadline > time.monotonic() - 1
        self.calls.append("stop")


@pytest.mark.parametrize("added", ["before the set-up", "while it runs"])
def test_it_is_started_written_to_and_stopped(
    telemetry_capture: TelemetryCapture, added: str
) -> None:
    """Once each."""
    pager = Pager()
    if added == "before the set-up":
        add_sink(pager)
    with setup_telemetry() as telemetry:
        if added == "while it runs":
            add_sink(pager)
        logger.warning("stock low")
        assert telemetry.flush(300)

    assert ["start", "stock low", "stop"] == pager.calls


def test_second_one_of_a_name_takes_the_place_of_the_first(
    telemetry_capture: TelemetryCapture,
) -> None:
    """A module that is imported again does not write everything twice."""
    first, second = Pager(), Pager()
    with setup_telemetry() as telemetry:
        add_sink(first)
        add_sink(second)
        logger.warning("stock low")
        assert telemetry.flush(300)

    assert "stock low" not in first.calls
    assert ["start", "stock low", "stop"] == second.calls
