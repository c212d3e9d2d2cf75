"""structlog's loggers write into the pipeline."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from proletto_otel.core.conventions import MESSAGE
from proletto_otel.logs.intake import structlog as structlog_intake
from proletto_otel.logs.intake.structlog import to_pipeline
from tests.logs.conftest import Room
from tests.waiting import PATIENCE_S

Install = Callable[..., Room]


@pytest.fixture(autouse=True)
def _fresh_structlog() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def test_unconfigured_structlog_joins(room: Install) -> None:
    """`structlog.get_logger()` of a program that configured nothing reaches every sink."""
    made = room()
    log = structlog.get_logger("shop.cart").bind(cart=7)
    log.warning("stock is low", sku="A-7")
    try:
        raise KeyError("x")
    except KeyError:
        structlog.get_logger().exception("failed")

    first, second = made.lines
    assert ("WARNING", "shop.cart", "stock is low", 7, "A-7") == tuple(
        first[name] for name in ("level", "logger", "message", "cart", "sku")
    )
    assert ("test_structlog", "test_unconfigured_structlog_joins") == (
        first["module"], first["function"],
    )  # fmt: skip
    assert ("ERROR", "proletto", "KeyError") == (
        second["level"], second["logger"], second["exception"]["type"],
    )  # fmt: skip


def test_last_processor_joins_a_configured_chain(room: Install) -> None:
    """A program with its own chain puts `to_pipeline` last."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.TimeStamper(),
                    to_pipeline]
    )  # fmt: skip
    made = room()
    structlog.get_logger().info("event %s", "x", n=1)

    line = made.lines[0]
    assert ("INFO", "event x", 1) == (line["level"], line[MESSAGE], line["n"])
    assert "level_" not in line
    assert "" == structlog_intake.finding()


def test_chain_past_the_pipeline_is_a_finding(room: Install) -> None:
    """A configured structlog is left alone, and the way to join is said."""
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    made = room()

    assert "to_pipeline" in made.logs.findings()[0]


def test_event_dictionary_through_the_standard_library(room: Install) -> None:
    """structlog's documented way through stdlib handlers leaves event and facts separate."""
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    made = room()
    structlog.get_logger("lib").warning("event", n=1)

    assert ("event", 1) == (made.lines[0][MESSAGE], made.lines[0]["n"])


def test_structlog_imported_after_setup_joins(tmp_path: object) -> None:
    """structlog is not imported for a program that does not use it, and joins when it is."""
    program = f"""
import sys
from proletto_otel.core import config
from proletto_otel.setup import logs as logs_setup
made, _ = config.load({{"log_dir": {str(tmp_path)!r}}}, {{}}, {{}})
logs_setup.install(made)
assert "structlog" not in sys.modules
import structlog
structlog.get_logger("late").info("here", n=1)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert "" == done.stderr
    assert done.stdout.endswith(" - late - INFO - here n=1\n")


def test_configuring_after_set_up_raises_nothing(room: Install) -> None:
    """A chain that the program sets later, with any end, still reaches the files."""
    made = room()
    for last in (
        structlog.processors.JSONRenderer(),
        structlog.processors.KeyValueRenderer(),
        structlog.dev.ConsoleRenderer(colors=False),
        structlog.stdlib.render_to_log_kwargs,
        to_pipeline,
    ):
        structlog.configure(processors=[structlog.processors.add_log_level, last])
        log = structlog.get_logger("shop").bind(cart=7)
        for method in ("debug", "info", "warning", "error", "critical", "exception"):
            getattr(log, method)("stock is low", sku="A")

    assert 5 * 5 == len(made.lines)  # `debug` is below `LOG_LEVEL`
    assert {"shop"} == {line["logger"] for line in made.lines}
    assert all("stock is low" in line[MESSAGE] for line in made.lines)
    assert [7, "A"] == [made.lines[-1]["cart"], made.lines[-1]["sku"]]
    assert "" == structlog_intake.finding()


def test_stdlib_wrapper_configured_after_set_up(room: Install) -> None:
    """structlog's own `BoundLogger` for the standard library finds what it asks for."""
    made = room()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.add_logger_name,
                    structlog.processors.JSONRenderer()],
        wrapper_class=structlog.stdlib.BoundLogger,
    )  # fmt: skip
    log = structlog.get_logger("shop")
    log.warning("event", n=1)

    assert log.isEnabledFor(30)
    assert ["shop"] == [line["logger"] for line in made.lines]
    assert '"n": 1' in made.lines[0][MESSAGE]


def test_configuration_of_the_program_is_left_to_it(room: Install) -> None:
    """Undoing the set-up resets nothing that the program configured."""
    made = room()
    processors = [structlog.processors.JSONRenderer()]
    structlog.configure(processors=processors)
    made.logs.uninstall()

    assert processors == structlog.get_config()["processors"]
    assert structlog.PrintLoggerFactory is type(structlog.get_config()["logger_factory"])


def test_processor_formatter_adds_no_facts(room: Install) -> None:
    """The documented chain for a `ProcessorFormatter`, through the standard library and direct."""
    chain = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name]
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )  # fmt: skip
    made = room()
    structlog.get_logger("lib").warning("event", n=1)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=chain, processor=structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    try:
        structlog.get_logger("lib").warning("second", n=2)
        logging.getLogger("other").warning("third", extra={"n": 3})
    finally:
        logging.getLogger().removeHandler(handler)

    assert [1, 2, 3] == [line["n"] for line in made.lines]
    assert not [name for line in made.lines for name in line if name.startswith("_")]
