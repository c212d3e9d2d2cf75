"""The standard library's records join the pipeline; what would double them is named."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator

import flask
import pytest
import werkzeug.serving
from flask.logging import default_handler

from proletto_otel.core.conventions import MESSAGE
from proletto_otel.logs.api.loggers import logger
from tests.logs.conftest import Room

Install = Callable[..., Room]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, its handlers put back afterwards."""
    found = logging.getLogger()
    before = list(found.handlers)
    yield found
    found.handlers[:] = before


def test_arguments_extra_and_exception_arrive(room: Install) -> None:
    """`%` arguments, `extra` and `exc_info` mean what they mean."""
    made = room()
    try:
        raise LookupError("gone")
    except LookupError:
        logging.getLogger("shop.cart").error(
            "item %s of %d", "A", 3, exc_info=True, extra={"sku": "A", "line": 9}
        )

    line = made.lines[0]
    assert ("shop.cart", "item A of 3", "A", 9) == (
        line["logger"], line[MESSAGE], line["sku"], line["line_"],
    )  # fmt: skip
    assert ("LookupError", "test_stdlib", "test_arguments_extra_and_exception_arrive") == (
        line["exception"]["type"], line["module"], line["function"],
    )  # fmt: skip


def test_our_logger_takes_stdlib_calls(room: Install) -> None:
    """`logger.error("order %s failed", 7, exc_info=True, extra={...})` works on ours too."""
    made = room()

    def helper() -> None:
        logger.warning("order %s failed", 7, extra={"order": 7}, stacklevel=2, stack_info=True)

    helper()
    logger.info("%(a)s and %(b)s", {"a": 1, "b": 2})
    logger.log(logging.INFO, "level by number")
    logger.info("wrong %d", "arguments")

    line = made.lines[0]
    assert ("order 7 failed", 7, "test_our_logger_takes_stdlib_calls") == (
        line[MESSAGE], line["order"], line["function"],
    )  # fmt: skip
    assert "in test_our_logger_takes_stdlib_calls" in line["stack"][-2]
    assert ["1 and 2", "level by number", "wrong %d arguments"] == [
        line[MESSAGE] for line in made.lines[1:]
    ]


def test_handler_survives_a_dict_config(room: Install) -> None:
    """A `dictConfig` after set-up sweeps the root logger; starting puts the handler back."""
    import logging.config

    made = room()
    before = list(logging.getLogger().handlers)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "root": {}})
    made.logs.start()
    logging.getLogger("x").warning("here")
    logging.getLogger().handlers[:] = before

    assert ["here"] == [line[MESSAGE] for line in made.lines]


def test_handler_comes_back_after_a_late_dict_config(room: Install) -> None:
    """A `dictConfig` in the middle of the program: the level it set stays."""
    import logging.config

    made, root = room(), logging.getLogger()
    before, level = list(root.handlers), root.level
    logging.config.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}
    )
    made.logs.stdlib.watch()
    made.logs.stdlib.watch()
    logging.getLogger("x").warning("too low")
    logging.getLogger("x").error("here")
    root.handlers[:] = before
    root.setLevel(level)

    assert ["here"] == [line[MESSAGE] for line in made.lines]


def test_basic_config_is_a_finding(room: Install, root: logging.Logger) -> None:
    """A console handler of the program prints each line twice, and that is said."""
    made = room()
    assert [] == made.logs.findings()
    root.addHandler(logging.StreamHandler())

    assert 1 == len(made.logs.findings())
    assert "StreamHandler" in made.logs.findings()[0]


def test_foreign_exporting_handler_is_a_finding(room: Install, root: logging.Logger) -> None:
    """OpenTelemetry's own logging handler exports each record twice, and that is said."""
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler

    made = room()
    with pytest.warns(DeprecationWarning, match="LoggingHandler"):
        handler = LoggingHandler(logger_provider=LoggerProvider(shutdown_on_exit=False))
    root.addHandler(handler)

    assert "second time" in made.logs.findings()[0]


def test_flask_prints_nothing_twice(room: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """Flask's default handler is taken off; its records go through the pipeline."""
    app = flask.Flask("shop")
    app.logger.addHandler(default_handler)  # what Flask does when nobody has configured logging
    made = room()
    made.logs.adopt(app)
    app.logger.warning("from the app")

    assert ["from the app"] == [line[MESSAGE] for line in made.lines]
    printed = capsys.readouterr()
    assert ("", 1) == (printed.err, printed.out.count("from the app"))


def test_werkzeug_request_lines_make_room_for_ours(room: Install) -> None:
    """werkzeug's line per request is dropped while our access log is on, its others are kept."""
    made = room()
    made.logs.adopt(flask.Flask("shop"))
    server = werkzeug.serving.make_server("127.0.0.1", 0, flask.Flask("shop"))
    thread = threading.Thread(target=server.handle_request)  # the real line, by the real server
    thread.start()
    with socket.create_connection(("127.0.0.1", server.server_port)) as client:
        client.sendall(b"GET /none HTTP/1.0\r\n\r\n")
        assert b"404" in client.makefile("rb").readline()
    thread.join()
    server.log("info", " * Running on http://127.0.0.1:5000")
    server.server_close()

    assert [" * Running on http://127.0.0.1:5000"] == [line[MESSAGE] for line in made.lines]


def test_flask_does_not_repeat_a_reported_error(room: Install) -> None:
    """An exception logged where it happened is not logged again as "Exception on /path"."""
    app = flask.Flask("shop")
    made = room()
    made.logs.adopt(app)

    @app.get("/reported")
    def reported_view() -> str:
        try:
            raise ValueError("once")
        except ValueError:
            logger.exception("failed here")
            raise

    @app.get("/fresh")
    def fresh_view() -> str:
        raise ValueError("fresh")

    assert 500 == app.test_client().get("/reported").status_code
    assert 500 == app.test_client().get("/fresh").status_code

    assert ["failed here", "Exception on /fresh [GET]"] == [line[MESSAGE] for line in made.lines]


def test_injected_trace_attributes_are_not_facts(room: Install) -> None:
    """What OpenTelemetry's record injection adds is not exported again as facts."""
    made = room()
    logging.getLogger("x").info("event", extra={"otelTraceID": "0", "order": 1})

    assert "otelTraceID" not in made.lines[0]
    assert 1 == made.lines[0]["order"]
