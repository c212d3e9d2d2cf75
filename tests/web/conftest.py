"""The monitor of a process, bound to a real store; servers of all hosts may take their time."""

import pytest

from proletto_otel.web.all_hosts import backend
from tests.monitoring.conftest import bound
from tests.waiting import PATIENCE_S

__all__ = ["bound"]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus and Loki are waited for as long as a busy machine needs to answer."""
    monkeypatch.setattr(backend, "DEADLINE_S", PATIENCE_S)
