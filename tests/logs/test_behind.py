"""Copies that follow by a moment: there is always somebody who writes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from proletto_otel.logs.behind import Behind
from proletto_otel.logs.record import Record


@pytest.mark.parametrize("attempt", range(20))
def test_last_lines_before_a_quiet_time_are_written(attempt: int) -> None:
    """A line after which nothing is logged reaches the other sinks by itself."""
    behind = Behind()
    arrived = threading.Event()
    written: list[Record] = []

    def write(records: Sequence[Record]) -> None:
        written.extend(records)
        arrived.set()

    behind.start()
    try:
        record = Record(time.time_ns(), 20, "test", f"line {attempt}", {})
        behind.later((write,))(record)

        assert arrived.wait(10)
        assert [record] == written
    finally:
        behind.stop()
