"""Whether an optional package is there, without importing it."""

from __future__ import annotations

from importlib.util import find_spec


def is_installed(name: str) -> bool:
    """Whether the module *name* could be imported; packages above it are imported."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # no package above it; blocked in `sys.modules`
        return False
