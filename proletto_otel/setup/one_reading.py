"""Reading the numbers of all workers once, for a page or a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from proletto_otel.runtime.lifecycle import Lifecycle
from proletto_otel.state.snapshots import Snapshots


@contextmanager
def one_reading(lifecycle: Lifecycle, snapshots: Snapshots) -> Iterator[None]:
    """Within it this thread reads them once, so that all it asks for is of one time."""
    lifecycle.gather()  # first: what is counted meanwhile is not read any more
    with snapshots.one_reading():
        yield
