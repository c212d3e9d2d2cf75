"""Real PostgreSQL and Redis that stop, hang and come back: states, durations, /readyz."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_driver
import sqlalchemy as sa
from flask import Flask

from proletto_otel.health.checks import MAX_TIMEOUT_S
from proletto_otel.monitoring import database_check, health_checks, redis_check
from proletto_otel.web.access import Access
from proletto_otel.web.site import Site
from tests.monitoring.bound import Bound
from tests.servers import PostgreSQL, Redis, needs_postgresql, needs_redis
from tests.waiting import PATIENCE_S, slowness, until
from tests.web.test_routes import serve

INTERVAL_S = 0.3
TIMEOUT_S = 0.5


@pytest.fixture(autouse=True)
def rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result counts for as long as a busy machine may need for the next."""
    monkeypatch.setattr(health_checks, "STALE_MARGIN_S", PATIENCE_S)


class Watched:
    """A service whose checks run on schedule, asked as a probe asks."""

    def __init__(self, directory: Path) -> None:
        self.bound = Bound(directory, monitor_health_check_interval=INTERVAL_S)
        self.app = Flask("shop")
        site = Site(
            config=self.bound.config, monitor=self.bound.monitor, access=Access(self.bound.config),
            exposition=lambda _: ("", "text/plain"), status=dict,
        )  # fmt: skip
        serve(self.app, site)

    def ready(self) -> int:
        """What /readyz answers."""
        return self.app.test_client().get("/readyz").status_code

    def state(self) -> str:
        """The state of the only check."""
        return self.bound.monitor.get_health().checks[0].status

    def message(self) -> str:
        """What it says."""
        return self.bound.monitor.get_health().checks[0].message


def here(seconds: float) -> float:
    """What a check needs here and now that needs less than *seconds* on a quiet machine."""
    return min(seconds * math.ceil(slowness()), MAX_TIMEOUT_S)


@contextmanager
def watching(directory: Path, name: str, check: Any) -> Iterator[Watched]:
    """A running service with one critical check."""
    watched = Watched(directory)
    watched.bound.monitor.register_health_check(name, check, timeout=here(TIMEOUT_S))
    watched.bound.ticker.start()
    try:
        until(lambda: watched.state() == "healthy", what="healthy at first")
        yield watched
    finally:
        watched.bound.close()


def outage(watched: Watched, name: str) -> tuple[list[str], float]:
    """The states since the start, and how long the last outage was, seconds."""
    changes = watched.bound.monitor.health_history(name)
    down = [c.at for c in changes if c.status == "degraded"]
    up = [c.at for c in changes if c.status == "healthy"]
    return [c.status for c in changes], up[-1] - down[-1]


@needs_postgresql
@pytest.mark.parametrize("way", ["stop", "hang"])
def test_postgresql_that_stops_or_hangs_is_seen_and_its_return_too(
    tmp_path: Path, way: str
) -> None:
    """healthy, degraded, unhealthy after three failures, healthy again; 200, 503, 200."""
    with PostgreSQL(tmp_path / "pg") as server:
        engine = sa.create_engine(server.url, pool_size=1, max_overflow=0)
        with watching(
            tmp_path / "state", "database", database_check(engine, timeout=here(1))
        ) as it:
            assert it.ready() == 200
            getattr(server, way)()
            down = time.time()
            until(lambda: it.ready() == 503, "/readyz closes")
            assert "unhealthy" == it.state()
            assert ("timeout" in it.message()) == (way == "hang")
            (server.resume if way == "hang" else server.start)()
            until(lambda: it.ready() == 200, "/readyz opens")
            states, lasted = outage(it, "database")
            share = it.bound.monitor.get_health().checks[0].uptime_24h
            assert ["healthy", "degraded", "unhealthy", "healthy"] == states
            assert 2 * INTERVAL_S < lasted <= time.time() - down
            assert 0 < (share or 0) < 1
        engine.dispose()


@needs_postgresql
def test_probes_of_a_hung_database_are_answered_in_time(tmp_path: Path) -> None:
    """100 concurrent probes: each within the deadline, one thread for the check."""
    with PostgreSQL(tmp_path / "pg") as server:
        check = database_check(server.url, timeout=here(1))
        with watching(tmp_path / "state", "database", check) as it:
            server.hang()
            until(lambda: it.ready() == 503, "/readyz closes")
            took: list[float] = []

            def probe() -> None:
                began = time.monotonic()
                assert it.ready() == 503
                took.append(time.monotonic() - began)

            probes = [threading.Thread(target=probe) for _ in range(100)]
            for thread in probes:
                thread.start()
            for thread in probes:
                thread.join()
            stuck = [t for t in threading.enumerate() if t.name == "proletto-health-database"]
            server.resume()

        assert 100 == len(took)
        assert max(took) < 2 * slowness()
        assert len(stuck) <= 1


@needs_postgresql
def test_pool_of_the_application_is_left_alone(tmp_path: Path) -> None:
    """The application holds its only connection; the check neither waits for it nor fails."""
    with PostgreSQL(tmp_path / "pg") as server:
        engine = sa.create_engine(server.url, pool_size=1, max_overflow=0, pool_timeout=30)
        with engine.connect():
            check = database_check(engine, timeout=here(1))
            with watching(tmp_path / "state", "database", check) as it:
                assert 200 == it.ready()
        engine.dispose()


@needs_redis
@pytest.mark.parametrize("way", ["stop", "hang"])
@pytest.mark.parametrize("as_client", [True, False])
def test_redis_that_stops_or_hangs_is_seen_and_its_return_too(
    tmp_path: Path, way: str, as_client: bool
) -> None:
    """By URL or by client; the client's own connections are not used."""
    with Redis(tmp_path) as server:
        client = redis_driver.Redis.from_url(server.url, max_connections=1)
        target = client if as_client else server.url
        with watching(tmp_path / "state", "redis", redis_check(target, timeout=here(0.4))) as it:
            getattr(server, way)()
            until(lambda: it.ready() == 503, "/readyz closes")
            (server.resume if way == "hang" else server.start)()
            until(lambda: it.ready() == 200, "/readyz opens")
            states, _ = outage(it, "redis")
            assert ["healthy", "degraded", "unhealthy", "healthy"] == states
        client.close()
