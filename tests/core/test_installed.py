"""Optional packages are found without being imported."""

from __future__ import annotations

import sys

import pytest

from proletto_otel.core.installed import is_installed


def test_what_can_be_imported_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of a package counts; one below nothing, or blocked by the program, does not."""
    monkeypatch.setitem(sys.modules, "sndhdr", None)

    assert is_installed("flask.logging")
    assert not is_installed("flask.nothing_of_this_name")
    assert not is_installed("nothing_of_this_name.below")
    assert not is_installed("sndhdr")
