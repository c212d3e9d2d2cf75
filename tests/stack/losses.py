"""Traffic while something goes wrong, and the comparison of what was asked with what arrived."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.stack.receiver import Receiver
from tests.stack.servers import binary, get, missing
from tests.stack.system import System
from tests.stack.traffic import CLIENTS, Request, Service, expected_counts, requests
from tests.waiting import PATIENCE_S

COUNT = "http_server_request_duration_seconds_count"
SERVER = 2
AT_ONCE = 1000
"""Requests of one question to Loki, which answers with 5,000 lines at most."""


@contextmanager
def breakable_system(folder: Path) -> Iterator[System]:
    """Prometheus, Loki and the collector, started, of one test alone."""
    for name in ("otelcol-contrib", "prometheus", "loki"):
        binary(name)
    system = System(folder, Receiver())
    try:
        system.start_prometheus()
        system.start_loki()
        system.start_collector()
        yield system
    finally:
        system.close()


@contextmanager
def serving(system: System, name: str) -> Iterator[Service]:
    """The shop with two workers."""
    service = Service(name, system.folder / "app", system.otlp, ("--workers", "2"))
    service.start()
    try:
        yield service
    finally:
        service.server.stop()


@contextmanager
def small_disk(system: System, megabytes: int) -> Iterator[Path]:
    """The collector, not running now, keeps its queue on a disk of a few megabytes."""
    folder = system.folder / "queue"
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        missing("a file system cannot be mounted", "root")
    try:
        yield folder
    finally:
        if "collector" in system.servers:
            system.stop("collector")
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@contextmanager
def traffic(service: Service, rate: float) -> Iterator[list[Request]]:
    """About *rate* requests a second while the block runs; the list holds those answered."""
    over, made = threading.Event(), requests(service.name, 100_000)
    answered: list[Request] = []

    def ask(client: int) -> None:
        begin = time.monotonic()
        for turn, request in enumerate(made[client::CLIENTS]):
            if over.wait(max(0.0, begin + turn * CLIENTS / rate - time.monotonic())):
                return
            service.call(request)
            answered.append(request)

    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(ask, client) for client in range(CLIENTS)]
        try:
            yield answered
        finally:
            over.set()
    for future in asked:
        future.result()


def assert_nothing_lost(system: System, service: Service, made: list[Request], s: float) -> None:
    """Every request has its server span, its access line and its count, within *s* seconds."""
    assert_arrived(system, service, made, s)
    assert_counted(system, service, made, s)


def assert_arrived(system: System, service: Service, made: list[Request], s: float) -> None:
    """Every request has its server span and its access line, within *s* seconds."""
    ids, seen = {request.request_id for request in made}, set[str]()

    def without_line() -> set[str]:
        seen.update(_lines(system, service, ids - seen))
        return ids - seen

    _until(lambda: ids - _spans(system, service), s, "spans")
    _until(without_line, s, "lines")


def assert_counted(system: System, service: Service, made: list[Request], s: float) -> None:
    """The store's counts are those of the requests, within *s* seconds."""

    def miscounted() -> Counter[tuple[str, str, str]]:
        found: Counter[tuple[str, str, str]] = Counter()
        for series in system.promql(f'{COUNT}{{service_name="{service.name}"}}'):
            labels = series["metric"]
            route, status = labels.get("http_route", ""), labels["http_response_status_code"]
            found[labels["http_request_method"], route, status] += int(series["value"][1])
        expected = expected_counts(made)
        return (expected - found) + (found - expected)

    _until(miscounted, s, "counts")


def _until(lost: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while missing := lost():
        assert time.monotonic() < deadline, f"{what} that did not arrive: {missing!r:.500}"
        time.sleep(1)


def _spans(system: System, service: Service) -> set[str]:
    found = system.tempo.of(service.name)
    return {span.attributes.get("request_id", "") for span in found if span.kind == SERVER}


def _lines(system: System, service: Service, ids: set[str]) -> set[str]:
    """Those of *ids*, and others, whose access line Loki has."""
    found: set[str] = set()
    numbers = {int(request_id.rpartition("-")[2]) for request_id in ids}
    for thousand in sorted({number // AT_ONCE for number in numbers}):
        picked = f"{service.name}-{thousand or '0'}[0-9]{{3}}"
        query = f'{{service_name="{service.name}"}} | logger="shop.access" | request_id=~"{picked}"'
        found |= {labels["request_id"] for labels, _ in system.logql(query)}
    return found


def kill_collector(system: System, times: int, pause_s: float) -> None:
    """SIGKILL, start anew, and again."""
    for _ in range(times):
        time.sleep(pause_s)
        server = system.servers.pop("collector")
        server.process.kill()
        server.process.wait(PATIENCE_S)
        system.start_collector()


def without_stores(system: System, seconds: float) -> None:
    """Loki and Prometheus are stopped for so long."""
    for name in ("loki", "prometheus"):
        system.stop(name)
    time.sleep(seconds)
    system.start_prometheus()
    system.start_loki()


def assert_nothing_dropped(service: Service) -> None:
    """The service itself says that it dropped no record."""
    metrics = service.fetch("GET", "/metrics")[2]
    assert not re.findall(r"^proletto_telemetry_dropped_total.* [1-9].*$", metrics, re.M)


def refused(system: System) -> float:
    """Records that the collector said no to, as it counts them itself."""
    text = (get(f"{system.url('collector_metrics')}/metrics") or b"").decode()
    counts = r"(?m)^otelcol_exporter_enqueue_failed_\w+{.*} (\S+)$"
    return sum(float(value) for value in re.findall(counts, text))
