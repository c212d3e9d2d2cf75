"""The log room that errors come from, and alerts that are not sent in other tests."""

from tests.alerts.conftest import _quiet_notices, stage
from tests.logs.conftest import room

__all__ = ["_quiet_notices", "room", "stage"]
