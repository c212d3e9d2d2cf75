"""The monitor of a process, bound to a real store."""

from tests.monitoring.conftest import bound

__all__ = ["bound"]
