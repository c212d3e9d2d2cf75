"""What counting users and clients costs a request: `python -m bench.top_callers`.

Batches of 100 requests, as the background thread gets them: 200 users, then a new client each time.
"""

from __future__ import annotations

import tempfile
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from proletto_otel.request.caller_history import CallerHistory
from proletto_otel.request.top_callers import HOUR_S, KINDS, TopCallers, add, empty_table, merge
from proletto_otel.state.store import Store

BATCH, BATCHES = 100, 2000
SERIES = SimpleNamespace(failed=False)


def batch(numbers: range, clients: int | None) -> list[Any]:
    """Requests of these numbers."""
    return [
        SimpleNamespace(
            route="/orders", series=SERIES, duration_s=0.01, streams=False,
            user_id=f"user-{n % 200}" if clients else None,
            client=f"10.0.{n % (clients or 10**9)}",
        )
        for n in numbers
    ]  # fmt: skip


def measure(name: str, clients: int | None) -> None:
    """Print the CPU time of one request."""
    counted, begin = TopCallers(), count(0, BATCH)
    batches = [batch(range(n, n + BATCH), clients) for n in (next(begin) for _ in range(BATCHES))]
    began = time.process_time()
    for one in batches:
        counted.add(one)
    took = time.process_time() - began
    began = time.process_time()
    for _ in range(100):
        counted.section()
    section = (time.process_time() - began) / 100
    each = 1e6 * took / BATCH / BATCHES
    print(f"{name:24} {each:5.2f} µs a request, {1e6 * section:6.0f} µs a publication")


def measure_the_past() -> None:
    """Print the bytes of 30 days, and the CPU time of reading and adding them up."""
    counted = TopCallers()
    counted.add(batch(range(20_000), 300))
    (hour,) = merge([counted.section()])
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory))
        past = CallerHistory(store, 30)
        for number in range(720):
            past.record([{**hour, "hour": number}])
        began = time.thread_time()
        hours = past.read(0, 720 * HOUR_S)
        total = empty_table()
        for one in hours:
            for kind in KINDS:
                add(total, one[kind]["entries"])
        took = time.thread_time() - began
        size = store.size_bytes()
        store.stop(time.monotonic() + 5)
    print(f"30 days of hours         {size / 1e6:5.2f} MB, read in {1e3 * took:.0f} ms")


if __name__ == "__main__":
    measure_the_past()
    measure("200 users, 300 clients", 300)
    measure("a new client each time", None)
