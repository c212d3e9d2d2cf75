"""Regular expressions that are compiled at their first use or in the background."""

from __future__ import annotations

import re

import pytest

from proletto_otel.core import lazy_pattern as room
from proletto_otel.core.lazy_pattern import compile_one, lazy_pattern


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources that were compiled, in order."""
    found: list[str] = []
    compile_now = re.compile

    def note(source: str, flags: int = 0) -> re.Pattern[str]:
        found.append(source)
        return compile_now(source, flags)

    monkeypatch.setattr(room, "_waiting", [])
    monkeypatch.setattr(re, "compile", note)
    return found


def test_a_pattern_is_compiled_once_and_not_before_its_first_use(compiled: list[str]) -> None:
    """The import of a module compiles nothing."""
    word = lazy_pattern(r"\w+", re.ASCII)
    before = list(compiled)

    assert ["a", "b"] == [found.group() for found in word.finditer("a b")]
    assert ["a", "b"] == [found.group() for found in word.finditer("a b")]
    assert [] == before
    assert [r"\w+"] == compiled


def test_it_has_what_a_compiled_pattern_has() -> None:
    """Methods, flags and source are those of `re.compile`."""
    lazy, real = lazy_pattern("(a)|b", re.IGNORECASE), re.compile("(a)|b", re.IGNORECASE)
    public = [name for name in dir(real) if not name.startswith("_")]

    assert [type(getattr(real, name)) for name in public] == [
        type(getattr(lazy, name)) for name in public
    ]
    assert (real.pattern, real.flags, real.groups) == (lazy.pattern, lazy.flags, lazy.groups)
    assert real.sub("-", "xAbx") == lazy.sub("-", "xAbx")


def test_bytes_have_patterns_too() -> None:
    """The type of the text is that of the source."""
    assert [b"1", b"2"] == lazy_pattern(rb"\d").findall(b"1 2")


def test_the_background_compiles_one_at_a_time_what_no_request_used(compiled: list[str]) -> None:
    """What was used is left out; in the end nothing waits."""
    first, _, last = lazy_pattern("first"), lazy_pattern("second"), lazy_pattern("third")
    last.search("")
    compile_one()
    at_once = list(compiled)
    while room.are_waiting():
        compile_one()

    assert ["third", "second"] == at_once
    assert ["third", "second", "first"] == compiled
    assert first.search("the first") is not None
