"""Calls a function right after a module's first import, so that nobody imports it in advance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from proletto_otel.core.internal_errors import suppressed

Then = Callable[[ModuleType], object]


def after_import(name: str, then: Then) -> None:
    """Call *then* with the module *name*: now if it was imported, else once, when it is.

    It runs in the thread that imports, which holds the module's import lock: it takes no lock under
    which others import. What it raises is suppressed.
    """
    forget(name)
    if name in sys.modules:
        with suppressed(f"import.{name}"):
            # Another thread may be in the middle of it: an import statement waits, this look-up
            # would not.
            __import__(name)
            then(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, then))


def forget(name: str) -> None:
    """Undo `after_import`."""
    sys.meta_path[:] = [
        f for f in sys.meta_path if not (isinstance(f, _Finder) and f.awaited == name)
    ]


class _Finder(MetaPathFinder):
    """Import hook for one module; it removes itself when that is imported."""

    def __init__(self, awaited: str, then: Then) -> None:
        self.awaited = awaited
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as usual, with a loader that calls the function."""
        if name != self.awaited:
            return None
        # First out of the way: the search below would ask this finder again.
        forget(name)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _ThenCalls(spec.loader, self._then)
                return spec
        return None


class _ThenCalls(Loader):
    """Loads a module with its own loader, then calls the function."""

    def __init__(self, own: Loader, then: Then) -> None:
        self._own = own
        self._then = then

    def __getattr__(self, name: str) -> Any:
        # Whatever else is asked of a loader: `get_source` for tracebacks, `get_data` for resources.
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does, and call the function."""
        self._own.exec_module(module)
        with suppressed(f"import.{module.__name__}"):
            self._then(module)
