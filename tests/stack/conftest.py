"""What the tests of the stack share: one running system for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.receiver import Receiver
from tests.stack.servers import binary
from tests.stack.system import System


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Collector, Prometheus and Loki, fed by nobody yet."""
    for name in ("otelcol-contrib", "prometheus", "loki"):
        binary(name)
    running = System(tmp_path_factory.mktemp("stack"), Receiver())
    try:
        running.start_prometheus()
        running.start_loki()
        running.start_collector()
        yield running
    finally:
        running.close()
