"""Levels of loggers that operators change for all workers, for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from proletto_otel import setup_telemetry
from proletto_otel.core.errors import ConfigError
from proletto_otel.error_logging import get_logger, logger
from proletto_otel.logs.api.loggers import Logger
from proletto_otel.logs.pipeline import Pipeline, pipeline
from proletto_otel.logs.shared_levels import MAX_LEVELS, SharedLevels
from proletto_otel.monitoring import monitor
from proletto_otel.state.control import HostControl
from proletto_otel.state.store import Store, StoreUnavailable
from proletto_otel.testing import TelemetryCapture


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Host:
    """Workers of one host; the levels of the first one hold in this process."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.directory = directory
        self.made: list[tuple[HostControl, SharedLevels]] = []

    def worker(self, to: Pipeline) -> SharedLevels:
        """One more worker."""
        control = HostControl(self.directory, self.clock)
        levels = SharedLevels(Store(self.directory), control, to, self.clock)
        self.made.append((control, levels))
        return levels

    def second_passes(self, seconds: float = 1.0) -> None:
        """Every worker's ticker runs."""
        self.clock.now += seconds
        for control, _ in self.made:
            control.check()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host without workers yet."""
    made = Host(tmp_path)
    yield made
    for _, levels in made.made:
        levels.end()


@pytest.fixture
def levels(telemetry_capture: TelemetryCapture) -> SharedLevels:
    """Those of this process."""
    setup_telemetry(log_console=False).activate()
    found = monitor.log_levels
    assert found is not None
    return found


def said(capture: TelemetryCapture) -> list[str]:
    """What was recorded."""
    pipeline.deferred.flush()
    return [str(record["body"]) for record in capture.logs]


def test_a_logger_of_the_standard_library_says_more_and_less_again(
    levels: SharedLevels, telemetry_capture: TelemetryCapture
) -> None:
    """Its children follow; the level from before comes back."""
    parent, child = logging.getLogger("orders"), logging.getLogger("orders.payments")
    parent.setLevel(logging.WARNING)
    levels.set("orders", "debug", "anna")
    child.debug("while it holds")
    logging.getLogger("deliveries").debug("another logger")
    levels.reset("orders")
    child.debug("afterwards")

    assert ["while it holds"] == said(telemetry_capture)
    assert logging.WARNING == parent.level
    parent.setLevel(logging.NOTSET)


def test_our_loggers_say_more_and_less(
    levels: SharedLevels, telemetry_capture: TelemetryCapture
) -> None:
    """Those that were made before, bound ones, and children; others stay as they are."""
    named = get_logger("orders").bind(order=1)
    named.setLevel("ERROR")
    other = get_logger("deliveries")
    levels.set("orders", "DEBUG", "anna", unknown=True)
    named.debug("said by its own")
    named.getChild("payments").info("kept back by the child's own level")
    get_logger("orders.mail").debug("said by a child")
    other.debug("not said")
    assert (True, False) == (named.isEnabledFor(10), other.isEnabledFor(10))
    levels.set("orders", "CRITICAL", "anna")
    named.error("not said either")
    other.info("said as always")
    levels.reset("orders")
    named.error("said again")

    assert ["said by its own", "said by a child", "said as always", "said again"] == said(
        telemetry_capture
    )


def test_structlog_and_root_follow(
    levels: SharedLevels, telemetry_capture: TelemetryCapture
) -> None:
    """`root` stands for every logger without a level of its own."""
    levels.set("root", "DEBUG", "anna")
    structlog.get_logger().debug("structlog", logger="orders")
    logger.debug("ours")
    logging.getLogger("orders").debug("stdlib")
    levels.set("root", "ERROR", "anna")
    structlog.get_logger().warning("structlog")
    logger.warning("ours")
    logging.getLogger("orders").warning("stdlib")

    assert ["structlog", "ours", "stdlib"] == said(telemetry_capture)


def test_another_worker_follows_and_the_level_ends_by_itself(host: Host) -> None:
    """Within the next second of its ticker; 30 minutes unless something else was said."""
    here = Pipeline()
    mine = host.worker(here)
    made = host.worker(Pipeline()).set("orders", "DEBUG", "anna", unknown=True)
    assert 20 == level_in(here)
    host.second_passes()
    assert (10, [made]) == (level_in(here), mine.current())
    host.second_passes(1797)
    assert 10 == level_in(here)
    host.second_passes(2)
    assert (20, []) == (level_in(here), mine.current())


def test_a_worker_that_comes_later_has_the_level_too(host: Host) -> None:
    """It reads what holds when it begins."""
    host.worker(Pipeline()).set("orders", "DEBUG", "anna", unknown=True)
    late = Pipeline()
    host.worker(late)
    host.second_passes()

    assert 10 == level_in(late)


def test_a_store_that_is_locked_is_read_later(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is not forgotten."""
    here = Pipeline()
    host.worker(here)
    host.worker(Pipeline()).set("orders", "DEBUG", "anna", unknown=True)
    with monkeypatch.context() as locked:
        locked.setattr(Store, "select", unavailable)
        host.second_passes()
    assert 20 == level_in(here)
    host.second_passes()
    assert 10 == level_in(here)
    with monkeypatch.context() as locked:
        locked.setattr(Store, "select", unavailable)
        host.second_passes(1801)
    assert 10 == level_in(here)
    host.second_passes()
    assert 20 == level_in(here)


def unavailable(*_: object) -> None:
    """What a locked store says."""
    raise StoreUnavailable("database is locked")


def level_in(here: Pipeline) -> int:
    """What one of our loggers named `orders` records in a worker."""
    return Logger("orders", to=here).getEffectiveLevel()


def test_what_the_program_sets_meanwhile_stays(levels: SharedLevels) -> None:
    """The end of the time takes nothing from the program."""
    orders = logging.getLogger("orders")
    levels.set("orders", "DEBUG", "anna", unknown=True)
    orders.setLevel(logging.ERROR)
    levels.reset("orders")

    assert logging.ERROR == orders.level
    orders.setLevel(logging.NOTSET)


def test_nothing_is_read_while_nobody_asks(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker opens the store only when the control file is another one."""
    levels = host.worker(Pipeline())
    read: list[Any] = []
    select = Store.select
    monkeypatch.setattr(Store, "select", lambda *a: read.append(a) or select(*a))
    for _ in range(5):
        host.second_passes()
    assert [] == read
    levels.set("root", "DEBUG", "anna")
    seen = len(read)
    for _ in range(5):
        host.second_passes()
    assert seen == len(read)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": ""}, "logger='': expected a logger's name"),
        ({"name": "a b"}, "expected a logger's name"),
        ({"name": "x" * 201}, "expected a logger's name"),
        ({"name": "a..b"}, "expected a logger's name"),
        ({"name": "werkzoig"}, "did you mean werkzeug"),
        ({"level": "LOUD"}, "level='LOUD': expected one of DEBUG, INFO"),
        ({"level": "10"}, "expected one of DEBUG"),
        ({"seconds": 5}, "seconds=5: expected from 10 to 86,400"),
        ({"seconds": 86_401}, "24 hours"),
        ({"seconds": float("nan")}, "24 hours"),
        ({"seconds": True}, "24 hours"),
    ],
)
def test_what_does_not_fit_is_named(
    levels: SharedLevels, changed: dict[str, Any], message: str
) -> None:
    """Name, level and time; nothing is changed."""
    logging.getLogger("werkzeug")
    wanted = {"name": "werkzeug", "level": "DEBUG", "by": "anna", **changed}
    with pytest.raises(ConfigError) as raised:
        levels.set(**wanted)

    assert message in str(raised.value)
    assert [] == levels.current()


def test_there_is_a_limit(levels: SharedLevels) -> None:
    """Nobody fills the store with names."""
    for number in range(MAX_LEVELS):
        levels.set(f"many.{number}", "DEBUG", "anna", unknown=True)
    with pytest.raises(ConfigError, match="reset one first"):
        levels.set("many.more", "DEBUG", "anna", unknown=True)
    levels.set("many.0", "INFO", "anna")

    assert MAX_LEVELS == len(levels.current())
