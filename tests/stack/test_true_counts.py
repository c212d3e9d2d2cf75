"""`increase()` of the real Prometheus equals gunicorn's own access log, come what may to workers.

Four workers, recycled every 150 requests, a HUP and a `kill -9` in the middle of the traffic.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack.servers import wait_for
from tests.stack.system import System
from tests.stack.traffic import Service, requests

NAME = "true-counts"
COUNT = "http_server_request_duration_seconds_count"
SELECTOR = f'{{service_name="{NAME}", http_route!="/metrics"}}'
REQUESTS = 3540
LATE = 3
RANGE = "[5m]"
"""Longer than the run: every series begins inside it."""
TOLERANCE = 0.01
_LINE = re.compile(r'"(GET|POST) (\S+) HTTP/1\.1" (\d{3}) ')


@dataclass
class Run:
    """Where to look after the traffic."""

    system: System
    served: Counter[str]
    """Answers by status, from gunicorn's access log."""
    errors: int
    """ERROR records in the structured file."""
    late: int
    """Requests of a kind that was not there before, all within one interval."""


@pytest.fixture(scope="module")
def run(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Steady traffic over recycled, restarted and killed workers; the service goes on living."""
    folder = tmp_path_factory.mktemp(NAME)
    log = folder / "gunicorn-access.log"
    options = (
        "--workers", "4", "--max-requests", "150", "--max-requests-jitter", "20",
        "--access-logfile", str(log),
    )  # fmt: skip
    service = Service(NAME, folder, system.otlp, options, metric_interval_ms=500)
    made = requests(NAME, REQUESTS)
    service.start()
    try:
        service.call_all(made[:1200])
        os.kill(service.server.process.pid, signal.SIGHUP)
        service.call_all(made[1200:2400])
        kill_idle_worker(service)
        service.call_all(made[2400:])
        served = wait_for("the access log", lambda: all_served(log))
        for _ in range(LATE):
            assert 405 == service.fetch("DELETE", "/orders")[0]
        lines = (folder / "logs/shop_structured.json").read_text().splitlines()
        errors = sum('"level":"ERROR"' in line for line in lines)
        yield Run(system, served, errors, LATE)
    finally:
        service.server.stop()


def kill_idle_worker(service: Service) -> None:
    """SIGKILL one worker between two requests."""
    time.sleep(1)  # what was answered is published within a second
    parent = str(service.server.process.pid)
    found = subprocess.run(["pgrep", "-P", parent], capture_output=True, text=True, check=True)
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)


def all_served(log: Path) -> Counter[str] | None:
    """Status -> answers, once every request is in the log."""
    found = Counter(
        match[3] for line in log.read_text().splitlines() if (match := _LINE.search(line))
    )
    return found if found.total() >= REQUESTS else None


def of(status: str) -> str:
    """The series of one status."""
    return f'{COUNT}{{service_name="{NAME}", http_response_status_code="{status}"}}'


def increase(run: Run, expression: str) -> float:
    """What a dashboard would show for the whole run."""
    return run.system.total(f"sum(increase({expression}{RANGE}))")


def test_increase_equals_the_access_log(run: Run) -> None:
    """All requests and each status, within 1 %: what dashboards and alerts compute is true."""
    expected = {"all": REQUESTS + run.late, **run.served}

    def look() -> dict[str, float] | None:
        found = {
            status: increase(
                run, f'{COUNT}{{service_name="{NAME}", http_response_status_code="{status}"}}'
            )
            for status in run.served
        } | {"all": increase(run, COUNT + SELECTOR)}
        return found if found == pytest.approx(expected, rel=TOLERANCE) else None

    assert wait_for("true counts", look) == pytest.approx(expected, rel=TOLERANCE)


def test_first_errors_of_a_series_are_counted(run: Run) -> None:
    """A series that begins with its first errors shows them: it is sent with a zero before."""
    query = f'proletto_errors_total{{service_name="{NAME}"}}'

    def look() -> bool:
        errors, late = increase(run, query), increase(run, of("405"))
        # three in a series of a few seconds: `increase` stretches it to the next sample
        return errors == pytest.approx(run.errors, rel=TOLERANCE) and round(late) == run.late

    assert run.errors > 100
    assert wait_for("all errors", look)


def test_last_values_are_exact(run: Run) -> None:
    """The totals themselves are exact, and of one instance of the service."""
    wait_for("all", lambda: run.system.total(COUNT + SELECTOR) == REQUESTS + run.late)
    instances = run.system.promql(f"count by (instance) ({COUNT}{SELECTOR})")

    assert 1 == len(instances)


def test_totals_never_went_back(run: Run) -> None:
    """No reset in any series, over recycled, restarted and killed workers."""
    assert 0 == run.system.total(f"sum(resets({COUNT}{SELECTOR}{RANGE}))")


def test_nothing_was_refused(run: Run) -> None:
    """A zero that goes before a series is taken by Prometheus like any sample."""
    refused = "otelcol_exporter_send_failed_metric_points_total"

    assert 0 == run.system.total(f"sum({refused}) or vector(0)")


def test_workers_stand_side_by_side(run: Run) -> None:
    """What belongs to a worker carries its pid, under the host's instance."""
    query = f'count by (process_pid) (process_thread_count{{service_name="{NAME}"}})'

    assert len(run.system.promql(query)) >= 4
