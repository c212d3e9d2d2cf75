"""Telemetry says what has to be mended, and how: a collector away, a file or a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.setup import telemetry
from tests.otlp_sink import OtlpSink
from tests.servers import free_port
from tests.waiting import until

PAGE = "/admin/monitoring/api/pages/telemetry"


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """End the telemetry of a test."""
    yield
    telemetry.reset()


def shop(directory: Path, **settings: Any) -> Flask:
    """An application that writes into *directory*."""
    app = Flask("shop")
    app.debug = True  # opens the admin pages to this machine
    setup_telemetry(app, log_dir=str(directory), under_test="normal", log_console=False, **settings)
    app.add_url_rule("/", "index", lambda: "ok")
    return app


def findings(app: Flask) -> list[str]:
    """What the page lists."""
    found: list[str] = app.test_client().get(PAGE).json["findings"]
    return found


def after_a_flush(app: Flask) -> list[str]:
    """What the page lists when a request was logged and everything was tried."""
    app.test_client().get("/")
    handle = telemetry.current_telemetry()
    assert handle is not None
    handle.flush(5)
    return findings(app)


def test_collector_that_is_away(tmp_path: Path) -> None:
    """One finding for all signals, with the address and what to set."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    app = shop(tmp_path, otlp_endpoint=endpoint)

    (found,) = after_a_flush(app)

    assert found.startswith("traces, logs, metrics: nothing is delivered to " + endpoint)
    assert "connection refused" in found
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in found


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "OTEL_EXPORTER_OTLP_HEADERS"), (404, "address and path"), (503, "own log")],
)
def test_collector_that_refuses(tmp_path: Path, status: int, advice: str) -> None:
    """Wrong credentials, a wrong path, and its own trouble are mended in different places."""
    with OtlpSink() as sink:
        sink.refuse = lambda path, items: status
        app = shop(tmp_path, otlp_endpoint=sink.url)
        (found,) = after_a_flush(app)

    assert f"(HTTP {status})" in found
    assert advice in found


def test_collector_that_refused_before_it_was_away(tmp_path: Path) -> None:
    """What is said is what holds it up now, not credentials that were mended."""
    with OtlpSink() as sink:
        sink.refuse = lambda path, items: 401
        app = shop(tmp_path, otlp_endpoint=sink.url)
        assert "(HTTP 401)" in after_a_flush(app)[0]
        sink.refuse = lambda path, items: 0
        until(lambda: not after_a_flush(app), "it is mended")
    (away,) = after_a_flush(app)

    assert "HTTP 401" not in away


def test_nothing_to_mend(tmp_path: Path) -> None:
    """All is delivered."""
    with OtlpSink() as sink:
        app = shop(tmp_path, otlp_endpoint=sink.url)
        assert [] == after_a_flush(app)


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The path, what the system said, and who must be able to write it."""
    app = shop(tmp_path, traces_exporter="none", metrics_exporter="none", logs_exporter="none")
    path = tmp_path / "proletto_error.log"
    path.mkdir()
    logger.error("lost")

    (found,) = findings(app)

    assert found.startswith(f"{path}: ")
    assert "LOG_DIR" in found
    path.rmdir()

    def written() -> bool:
        logger.error("written")
        return path.is_file() and not findings(app)

    until(written, "it is gone when it is mended")


def test_database_that_is_away(tmp_path: Path) -> None:
    """What waits is written later: nothing but the database has to be mended."""
    app = shop(
        tmp_path, traces_exporter="none", metrics_exporter="none", logs_exporter="none",
        database_url=f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/shop",
    )  # fmt: skip
    logger.error("waits")
    until(lambda: bool(findings(app)), "the page says so")

    (found,) = findings(app)

    assert found.startswith("database: ")
    assert "PROLETTO_DATABASE_URL" in found
