"""`LOG_FORMAT` is honoured, compiled once; what it cannot be is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proletto_otel.core import context
from proletto_otel.logs.api.loggers import logger
from proletto_otel.logs.format.text import Renderer
from proletto_otel.logs.record.call_site import CallSite
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.record.timestamp import local, utc
from tests.logs.conftest import Room

Install = Callable[..., Room]
NOON_NS = 1_746_858_912_548_999_999  # 2025-05-10T06:35:12.548999999Z


def test_timestamp_is_the_one_of_the_specification() -> None:
    """Timestamps are UTC with milliseconds, cut and not rounded."""
    assert "2025-05-10T06:35:12.548" == utc(NOON_NS)
    assert "2025-05-10T06:35:13.000" == utc(NOON_NS + 451_000_001)


def test_asctime_is_the_one_of_the_standard_library() -> None:
    """`asctime` is local time, as `logging` writes it."""
    import logging

    record = logging.LogRecord("", 20, "", 0, "", None, None)
    record.created, record.msecs = NOON_NS / 1e9, 548

    assert logging.Formatter().formatTime(record) == local(NOON_NS)


def test_default_format_is_the_one_of_the_specification(room: Install) -> None:
    """`%(asctime)s - %(name)s - %(levelname)s - %(message)s`."""
    made = room()
    logger.info("hello")

    when, name, level, message = made.text().rstrip("\n").split(" - ")
    assert ("proletto", "INFO", "hello") == (name, level, message)
    assert 23 == len(when)


def test_custom_format_shapes_text_lines(room: Install) -> None:
    """Every name of the standard library works, widths too, and our IDs."""
    made = room(log_format="[%(levelname)-8s] 100%% %(name).3s %(request_id)s: %(message)s")
    with context.background("job-7"):
        logger.warning("careful", n=1)

    assert "[WARNING ] 100% pro job-7: careful n=1\n" == made.text()
    assert [] == made.warnings


ALL_NAMES = (
    "asctime", "created", "filename", "funcName", "levelname", "levelno", "lineno", "message",
    "module", "msecs", "name", "pathname", "process", "processName", "relativeCreated", "thread",
    "threadName", "taskName", "environment", "request_id", "trace_id", "span_id",
)  # fmt: skip


def test_all_names_render() -> None:
    """No name of the standard library's documentation is missing."""
    renderer = Renderer(" ".join(f"%({name})s" for name in ALL_NAMES))

    assert b"event" in renderer.text_line(Record(NOON_NS, CallSite("x", 20), "event", {}))


@pytest.mark.parametrize(
    "log_format", ["%(nope)s", "%(message)d", "%(message)", "no names", "%s", "%(message)s %"]
)
def test_invalid_format_is_a_warning_and_the_default_holds(room: Install, log_format: str) -> None:
    """A `LOG_FORMAT` that cannot work is said once; lines stay in the default form."""
    made = room(log_format=log_format)
    logger.info("hello")

    assert 1 == len(made.warnings)
    assert "LOG_FORMAT" in made.warnings[0]
    assert made.text().endswith(" - proletto - INFO - hello\n")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a", "a"), ("a b", '"a b"'), ("", '""'), ('"', '"\\""'), (None, "null"), (True, "true"),
     (1.5, "1.5"), ([1, "x"], '[1,"x"]'), ({"a": 1}, '{"a":1}'), ("o-17", "o-17")],
)  # fmt: skip
def test_facts_stand_behind_the_message(room: Install, value: object, shown: str) -> None:
    """Facts follow as key=value, quoted where a value is more than a word."""
    made = room()
    logger.info("event", fact=value)

    assert made.text().endswith(f"event fact={shown}\n")


def test_traceback_is_indented_below_its_line(room: Install) -> None:
    """A traceback follows its line; no line of it can pass for a record."""
    made = room()
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("failed")

    first, *below = made.text().splitlines()
    assert first.endswith("ERROR - failed")
    assert "  Traceback (most recent call last):" == below[0]
    assert all(line.startswith("  ") for line in below)
