"""What waits for a module runs once, right after the module's first import."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from proletto_otel.core.after_import import after_import, forget

NAME = "awaited_module"


@pytest.fixture(autouse=True)
def awaited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module that can be imported, and was not."""
    (tmp_path / f"{NAME}.py").write_text("def value():\n    return 7\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    forget(NAME)
    sys.modules.pop(NAME, None)


def test_it_runs_once_when_the_module_is_complete() -> None:
    """Not before, and not at the second import; the module keeps all that its own loader offers."""
    found: list[int] = []
    after_import(NAME, lambda module: found.append(module.value()))
    assert [] == found

    module = importlib.import_module(NAME)
    importlib.import_module(NAME)

    assert [7] == found
    assert "return 7" in inspect.getsource(module)
    assert NAME not in {getattr(finder, "awaited", "") for finder in sys.meta_path}


def test_it_runs_now_for_a_module_that_is_there() -> None:
    """Who imported first loses nothing."""
    module = importlib.import_module(NAME)
    found: list[ModuleType] = []
    after_import(NAME, found.append)

    assert [module] == found


def test_the_last_one_counts_and_can_be_forgotten() -> None:
    """Waiting again replaces what waited; after `forget` nothing runs."""
    found: list[str] = []
    after_import(NAME, lambda _: found.append("first"))
    after_import(NAME, lambda _: found.append("second"))
    importlib.import_module(NAME)
    assert ["second"] == found

    del sys.modules[NAME]
    after_import(NAME, lambda _: found.append("third"))
    forget(NAME)
    importlib.import_module(NAME)

    assert ["second"] == found
