"""Facts of the blocks around an error: an outer `ErrorCapture(component=…, user_id=…)` is on the
record although an inner function logged the exception first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

_facts: ContextVar[Mapping[str, Any]] = ContextVar(
    "proletto_error_facts", default=MappingProxyType({})
)

enclosing: Callable[[], Mapping[str, Any]] = _facts.get
"""The facts of all blocks around this call, inner ones before outer ones of the same name."""


def enter(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add *facts* to errors from now on; give what it returns to `leave`."""
    before = _facts.get()
    # A new mapping: tasks that copied the context hold the old one.
    _facts.set({**before, **facts})
    return before


def leave(before: Mapping[str, Any]) -> None:
    """Undo `enter`. No token: a block may end in another context (an executor, a generator)."""
    _facts.set(before)
