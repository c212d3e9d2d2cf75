"""Handlers of the program and its libraries get the records of our loggers, too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
import sentry_sdk
from flask.logging import default_handler

from proletto_otel.core.conventions import MESSAGE
from proletto_otel.error_logging import ErrorCapture, get_logger, handle_errors, logger
from tests.logs.conftest import Room

Install = Callable[..., Room]


class ListHandler(logging.Handler):
    """A handler of the program; mail, files and services work the same way."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def messages(self) -> list[str]:
        """Their texts."""
        return [record.getMessage() for record in self.records]


@pytest.fixture
def listening() -> Iterator[Callable[[logging.Logger | None], ListHandler]]:
    """Put a handler on a logger, root by default; it is taken off after the test."""
    put: list[tuple[logging.Logger, ListHandler]] = []

    def listen(on: logging.Logger | None = None, level: int = 0) -> ListHandler:
        handler, target = ListHandler(level), on or logging.getLogger()
        target.addHandler(handler)
        put.append((target, handler))
        return handler

    yield listen
    for target, handler in put:
        target.removeHandler(handler)


def test_root_handler_gets_our_records(room: Install, listening: Any) -> None:
    """With level, facts, exception and call site, once; our sinks have them once, too."""
    made, handler = room(), listening()
    bound = logger.bind(order=7)
    bound.warning("late by %d days", 2, name="x", message="y")
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("failed")

    late, failed = handler.records
    assert ("late by 2 days", "WARNING", 7, "x", "y", "proletto") == (
        late.getMessage(), late.levelname, late.order, late.name_, late.message_, late.name,
    )  # fmt: skip
    assert ("test_root_handler_gets_our_records", "test_foreign_handlers.py") == (
        late.funcName, late.filename,
    )  # fmt: skip
    assert failed.exc_info is not None
    assert failed.exc_info[0] is ValueError
    assert "ValueError: boom" in logging.Formatter().format(failed)
    assert ["late by 2 days", "failed"] == [line[MESSAGE] for line in made.lines]


def test_decorators_and_captures_reach_them(room: Install, listening: Any) -> None:
    """`handle_errors` and `ErrorCapture` are heard by whoever listens on root."""
    room()
    handler = listening(None, logging.ERROR)

    @handle_errors(component="prices")
    def price() -> float:
        return 1 / 0

    assert price() is None
    with ErrorCapture(component="stock", reraise=False):
        raise LookupError("gone")
    logger.info("too low for it")

    assert ["prices", "stock"] == [record.component for record in handler.records]
    assert all(record.exc_info for record in handler.records)


def test_caplog_sees_our_records(room: Install, caplog: pytest.LogCaptureFixture) -> None:
    """Tests of a program find its lines where they always did."""
    room()
    logger.warning("stock is low", sku="A")
    get_logger("shop.cart").error("gone")

    assert [("proletto", 30, "stock is low"), ("shop.cart", 40, "gone")] == caplog.record_tuples


def test_caplog_sees_them_without_set_up(caplog: pytest.LogCaptureFixture) -> None:
    """A unit test that sets nothing up sees them, too."""
    logger.warning("stock is low")

    assert ["stock is low"] == caplog.messages


def test_sentry_gets_our_errors(room: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentry's logging integration, the real one, has an event for each error of ours."""
    made = room()
    monkeypatch.setattr(logging.Logger, "callHandlers", logging.Logger.callHandlers)
    events: list[Any] = []
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", auto_enabling_integrations=False,
        auto_session_tracking=False, send_client_reports=False,
        before_send=lambda event, hint: events.append(event),
    )  # fmt: skip
    try:
        logger.info("a breadcrumb")
        try:
            raise ValueError("boom")
        except ValueError:
            logger.exception("payment failed", order=7)
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.init()

    (event,) = events
    assert ("payment failed", "error", 7) == (
        event["logentry"]["message"], event["level"], event["extra"]["order"],
    )  # fmt: skip
    assert "ValueError" == event["exception"]["values"][0]["type"]
    assert "a breadcrumb" in [b["message"] for b in event["breadcrumbs"]["values"]]
    assert ["a breadcrumb", "payment failed"] == [line[MESSAGE] for line in made.lines]


def test_members_of_a_standard_logger(room: Install) -> None:
    """`addHandler`, `handlers`, `addFilter`, `propagate` mean what they mean."""
    made, handler = room(), ListHandler()
    log = get_logger("shop.members")

    def stamp(record: logging.LogRecord) -> bool:
        record.tenant = "eu"
        return "secret" not in record.getMessage()

    log.addHandler(handler)
    log.addFilter(stamp)
    log.propagate = False
    try:
        assert [handler] == log.handlers
        assert log.hasHandlers()
        log.info("seen")
        log.info("a secret")
        logging.getLogger("shop.members").handle(
            logging.makeLogRecord({"msg": "by hand", "levelno": 20})
        )
    finally:
        log.propagate = True
        log.removeFilter(stamp)
        log.removeHandler(handler)

    assert ["seen", "by hand"] == handler.messages
    assert [("seen", "eu")] == [(line[MESSAGE], line["tenant"]) for line in made.lines]
    assert ([], []) == (log.handlers, log.filters)


def test_failing_handler_disturbs_nobody(room: Install, listening: Any) -> None:
    """A handler that raises, or logs through our logger itself, ends with its record."""
    made, handler = room(), listening()

    def emit(record: logging.LogRecord) -> None:
        logger.warning("from the handler")
        raise RuntimeError("no mail today")

    handler.emit = emit
    logger.info("first")
    logger.info("second")

    texts = [line[MESSAGE] for line in made.lines]
    assert ["first", "second"] == [text for text in texts if text != "from the handler"]
    assert 2 <= texts.count("from the handler") <= 3  # the third: our warning comes to it, too


def test_console_handlers_print_nothing_twice(
    room: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """A handler that prints where our console prints does not print our records again."""
    room()
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        logger.warning("said once")
    finally:
        logging.getLogger().removeHandler(handler)

    printed = capsys.readouterr()
    assert 1 == (printed.out + printed.err).count("said once")


def test_own_handler_of_an_app_gets_unhandled_errors(room: Install, listening: Any) -> None:
    """A mail handler on `app.logger` gets "Exception on /boom [GET]" although ours has it once."""
    app = flask.Flask("shop")
    made = room()
    made.logs.adopt(app)
    mail = listening(app.logger, logging.ERROR)

    @app.get("/boom")
    def boom() -> str:
        try:
            raise ValueError("once")
        except ValueError:
            logger.exception("failed here")
            raise

    assert 500 == app.test_client().get("/boom").status_code

    assert ["Exception on /boom [GET]"] == mail.messages
    assert ["failed here"] == [line[MESSAGE] for line in made.lines]


def test_handlers_of_an_app_stay(room: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """`app.logger` has Flask's handler as without us, muted; afterwards nothing of it is left."""
    app = flask.Flask("shop_with_handlers")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's
    made = room()
    made.logs.adopt(app)
    assert [default_handler] == app.logger.handlers
    made.logs.stdlib.undo()

    assert [] == default_handler.filters
    assert flask.logging.has_level_handler.__module__ == "flask.logging"


def test_a_handler_that_root_gets_later_counts(
    room: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without us: Flask adds none of its own where root has one when `app.logger` is made."""
    app = flask.Flask("shop_with_late_root")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    made = room()
    made.logs.adopt(app)
    logging.getLogger().addHandler(logging.NullHandler())

    assert [] == app.logger.handlers
