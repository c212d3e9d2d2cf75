"""No log call raises, whatever its arguments; its neighbours arrive in every sink."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.api.loggers import Logger, logger
from tests.logs.conftest import Room, balance

CALLS = 1_200
"""Generated calls of each kind, 2,400 in all."""


class BadRepr:
    """Raises whenever it is printed."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class BadError(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no str")


class Unfriendly:
    """Raises on every attribute."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    def __bool__(self) -> bool:
        raise RuntimeError("no bool")


def cyclic() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["self"] = [loop]
    return loop


def deep() -> list[Any]:
    nest: list[Any] = []
    for _ in range(5_000):
        nest = [nest]
    return nest


hostile = st.one_of(
    st.text(alphabet=st.characters(codec=None), max_size=30),  # lone surrogates included
    st.sampled_from(["\ud800", "\x00\x1b[2J", "\u202e\u2028", "%", "%s %d", "%(a)s", "{}"]),
    st.integers(), st.floats(), st.binary(max_size=20), st.none(), st.booleans(),
    st.builds(BadRepr), st.builds(BadError), st.builds(Unfriendly), st.builds(cyclic),
    st.builds(deep), st.builds(object), st.just(10**400), st.just("x" * 100_000),
    st.builds(lambda: (n for n in range(3))), st.just({1: {2: {3}}}), st.just(type),
)  # fmt: skip
names = st.one_of(
    st.sampled_from([
        "message", "level", "name", "args", "exc_info", "extra", "stack_info", "stacklevel",
        "exception", "timestamp", "self", "event", "logger", "process", "\ud800", "a b", "",
    ]),
    st.text(max_size=8),
)  # fmt: skip
facts = st.dictionaries(names, hostile, max_size=4)
methods = st.sampled_from(["debug", "info", "warning", "error", "critical", "exception"])


library = logging.Logger("library", logging.DEBUG)
"""Outside the tree of loggers: the handlers that pytest adds there do raise."""


@pytest.fixture
def audited(room: Callable[..., Room]) -> Iterator[Room]:
    made = room(log_level="DEBUG", log_max_bytes=10**9, log_json_max_bytes=10**9)
    library.addHandler(made.logs.stdlib.handler)
    yield made
    library.removeHandler(made.logs.stdlib.handler)


@settings(max_examples=CALLS, deadline=None, suppress_health_check=list(HealthCheck))
@given(method=methods, event=hostile, args=st.lists(hostile, max_size=3), facts=facts)
def check_ours(
    counter: list[int], method: str, event: object, args: list[object], facts: dict[str, Any]
) -> None:
    counter[0] += 1
    getattr(logger, method)(event, *args, **facts)
    logger.info("neighbour", n=counter[0])


@settings(max_examples=CALLS, deadline=None, suppress_health_check=list(HealthCheck))
@given(level=st.sampled_from([10, 20, 30, 40, 50, 35]), event=hostile,
       args=st.lists(hostile, max_size=3), extra=facts, error=st.booleans())  # fmt: skip
def check_stdlib(
    counter: list[int], level: int, event: object, args: list[object], extra: dict[str, Any],
    error: bool,
) -> None:  # fmt: skip
    counter[0] += 1
    record = logging.LogRecord(library.name, level, "/a/b.py", 1, event, tuple(args), None)
    for name, value in extra.items():
        record.__dict__.setdefault(name, value)
    if error:
        record.exc_info = (BadError, BadError(), None)
    library.handle(record)
    library.info("neighbour", extra={"n": counter[0]})


ODD = (None, -1, -1.5, "x", "", [], {}, float("nan"), float("inf"), 1e30, 10**30, object(), True)


@pytest.mark.parametrize(
    "name",
    ["created", "name", "levelno", "levelname", "pathname", "lineno", "funcName", "thread", "msecs",
     "process", "module", "exc_info", "exc_text", "stack_info", "args", "msg"],
)  # fmt: skip
def test_records_made_by_hand(audited: Room, name: str) -> None:
    """As code does that gets records over a network: none raises, none takes others with it."""
    for number, value in enumerate(ODD):
        record = logging.makeLogRecord({"levelno": 50, "name": library.name, "msg": "by hand"})
        record.__dict__[name] = value
        library.info("neighbour", extra={"n": 2 * number})
        audited.logs.stdlib.handler.handle(record)  # a logger itself fails on an odd level
        library.info("neighbour", extra={"n": 2 * number + 1})

    neighbours = [line["n"] for line in audited.lines if line[MESSAGE] == "neighbour"]
    assert list(range(2 * len(ODD))) == neighbours
    made = len(audited.lines)
    assert made >= 2 * len(ODD) + (3 if name == "levelno" else len(ODD))
    for sink in ("console", "file", "json_file"):
        assert (made, made) == balance(sink)


def test_a_raising_filter(audited: Room) -> None:
    """A filter on our handler that fails costs neither the request nor the record."""

    def broken(_: logging.LogRecord) -> bool:
        raise RuntimeError("filter")

    handler = audited.logs.stdlib.handler
    handler.addFilter(broken)
    try:
        library.info("kept")
    finally:
        handler.removeFilter(broken)

    assert ["kept"] == [line[MESSAGE] for line in audited.lines]


@pytest.mark.parametrize("check", [check_ours, check_stdlib])
def test_no_call_raises(audited: Room, check: Callable[[list[int]], None]) -> None:
    """Hostile calls of our logger and of the standard library: all recorded."""
    counter = [0]
    check(counter)

    calls = counter[0]
    assert calls >= CALLS
    for sink in ("console", "file", "json_file"):
        assert (2 * calls, 2 * calls) == balance(sink)
        assert 0 == sum(ledger.totals()[sink]["dropped"].values())
    numbers = [line["n"] for line in audited.lines if line[MESSAGE] == "neighbour"]
    assert list(range(1, calls + 1)) == numbers
    assert 2 * calls == len(audited.otlp)


def test_hostile_names_of_loggers(audited: Room) -> None:
    """A logger may be called anything."""
    for name in ("a\nb", "\ud800", "x" * 100_000, ""):
        Logger(name).info("event")
        other = logging.Logger(name)
        other.addHandler(audited.logs.stdlib.handler)
        other.info("event")

    assert 8 == len(audited.lines)
    assert all("\n" not in line["logger"] for line in audited.lines)
