"""Many scrapes at once: one collection at a time, nobody waits for ever or reads old numbers."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from proletto_otel import setup_telemetry
from proletto_otel.core.metrics.registry import Family
from proletto_otel.testing import TelemetryCapture
from proletto_otel.web.metrics_page import ScrapeBusy, SharedPage
from tests.waiting import PATIENCE_S, until

COUNT = "http_server_request_duration_seconds_count"
SCRAPES = 100


class Collections:
    """Stands before `snapshots.merged` and notes how many threads are inside; holds the first."""

    def __init__(self, merged: object) -> None:
        self.merged = merged
        self.begun = self.most = self._inside = 0
        self.first_may_end = threading.Event()
        self._lock = threading.Lock()

    def __call__(self) -> list[Family]:
        with self._lock:
            self.begun += 1
            self._inside += 1
            self.most = max(self.most, self._inside)
        assert self.first_may_end.wait(PATIENCE_S)
        try:
            return self.merged()  # type: ignore[operator,no-any-return]
        finally:
            with self._lock:
                self._inside -= 1


class Turnstile:
    """A lock that counts who came to it."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.release = self._lock.release

    def acquire(self, timeout: float) -> bool:
        self.came.release()
        return self._lock.acquire(timeout=timeout)


@pytest.fixture
def shop(telemetry_capture: TelemetryCapture) -> Flask:
    """An application with one route."""
    app = Flask("shop")
    app.add_url_rule("/item", "item", lambda: "fine")
    setup_telemetry(app, log_console=False)
    return app


def scraped(app: Flask) -> tuple[int, int]:
    """Status, and the requests that the page tells of."""
    answer = app.test_client().get("/metrics")
    families = text_string_to_metric_families(answer.text)
    samples = [s for family in families for s in family.samples if s.name == COUNT]
    return answer.status_code, sum(
        int(s.value) for s in samples if s.labels.get("http_route") == "/item"
    )


def test_a_hundred_scrapes_at_once_share_collections(
    shop: Flask, telemetry_capture: TelemetryCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one collection at a time; each answer has what was counted before it was asked."""
    snapshots = telemetry_capture.telemetry.components.snapshots
    telemetry_capture.telemetry.components.lifecycle.activate()
    telemetry_capture.telemetry.components.ticker.stop(threading.TIMEOUT_MAX)  # it collects, too
    collections = Collections(snapshots.merged)
    monkeypatch.setattr(snapshots, "merged", collections)
    client = shop.test_client()
    for _ in range(7):
        client.get("/item").close()
    turnstile = Turnstile()
    page = telemetry_capture.telemetry.requests.page
    monkeypatch.setattr(page, "_lock", turnstile)
    # the first is held until all have come, which takes a busy machine longer than anybody waits
    monkeypatch.setattr(page, "_wait_s", 60.0)

    with ThreadPoolExecutor(SCRAPES) as pool:
        first = pool.submit(scraped, shop)
        until(lambda: collections.begun == 1)
        client.get("/item").close()  # counted while the first is being made
        answers = [pool.submit(scraped, shop) for _ in range(SCRAPES - 1)]
        for _ in range(SCRAPES):
            assert turnstile.came.acquire(timeout=PATIENCE_S)
        collections.first_may_end.set()
        found = [answer.result(PATIENCE_S) for answer in answers]

    assert 200 == first.result()[0]
    assert {(200, 8)} == set(found)
    assert (1, 2) == (collections.most, collections.begun)


def test_who_asks_later_gets_a_newer_page() -> None:
    """A page begun before the question is not its answer."""
    made: list[str] = []

    def make(accept: str) -> tuple[str, str]:
        made.append(accept)
        return str(len(made)), accept

    page = SharedPage(make)

    assert [("1", "a"), ("2", "a"), ("3", "b")] == [page("a"), page("a"), page("b")]


def test_nobody_waits_for_ever() -> None:
    """A collection that hangs: others are told so with 503; afterwards all is well."""
    hangs, ends = threading.Event(), threading.Event()

    def make(accept: str) -> tuple[str, str]:
        hangs.set()
        assert ends.wait(PATIENCE_S)
        return "page", accept

    page = SharedPage(make, wait_s=0.01)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(page, "")
        assert hangs.wait(PATIENCE_S)
        with pytest.raises(ScrapeBusy):
            page("")
        ends.set()
        assert ("page", "") == first.result(PATIENCE_S)

    assert ("page", "") == page("")


def test_busy_is_503(shop: Flask, telemetry_capture: TelemetryCapture) -> None:
    """The scraper counts it as a failed scrape."""
    page = telemetry_capture.telemetry.requests.page
    page._wait_s = 0.01
    with page._lock:
        assert 503 == shop.test_client().get("/metrics").status_code

    assert 200 == shop.test_client().get("/metrics").status_code


def test_a_failed_collection_leaves_the_way_free() -> None:
    """The next one is made anew."""
    failures = [OSError("disk")]

    def make(accept: str) -> tuple[str, str]:
        if failures:
            raise failures.pop()
        return "page", accept

    page = SharedPage(make)
    with pytest.raises(OSError, match="disk"):
        page("")

    assert ("page", "") == page("")


def test_a_child_does_not_wait_for_a_scrape_of_its_parent() -> None:
    """Forked in the middle of a scrape."""
    page = SharedPage(lambda accept: ("page", accept), wait_s=0.01)
    with page._lock:
        pid = os.fork()
        if pid == 0:
            page.forked()
            os._exit(page("") != ("page", ""))

    assert 0 == os.waitpid(pid, 0)[1]
