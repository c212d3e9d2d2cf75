"""pytest plugin: what Flask-RESTful's tests, written for nose and Flask 2.2, miss today."""

from __future__ import annotations

import inspect

import flask.signals
import pytest

flask.signals.signals_available = True  # type: ignore[attr-defined]


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> object:
    """Leave out tests that yield: pytest refuses the whole file for one of them."""
    return [] if name.startswith("test") and inspect.isgeneratorfunction(obj) else None
