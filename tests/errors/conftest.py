"""The log room that errors come from."""

from tests.logs.conftest import room

__all__ = ["room"]
