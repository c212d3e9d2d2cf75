"""What ten open tabs of the dashboard cost an application, and `/livez` beside a slow page.

    python -m bench.tabs [--tabs 10] [--seconds 40]

gunicorn with four sync workers serves 20 requests a second out of a full store; the tabs are real
ones of Chromium, all of them visible. Printed is the CPU time that the server's processes take in a
second, without and with the tabs, which a busy machine changes less than durations; how long it
takes until an open overview is red after traffic fails; and how long `/livez` takes alone and while
a slow page is asked for again and again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from flask import Flask

from bench import pages
from proletto_otel import setup_telemetry
from proletto_otel.monitoring import monitor

PORT = 8741
BASE = f"http://127.0.0.1:{PORT}"
WORKERS = 4
PER_SECOND = 20
SLOW_PAGE = f"{pages.ADMIN}/requests?range=30d"


def create_app() -> Flask:
    """A shop that works and can fail."""
    app = Flask("shop")

    @app.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/broken")
    def broken() -> str:
        raise KeyError("no such price")

    setup_telemetry(app, app_name="shop", environment="development", log_console=False,
                    sdk_disabled=True)  # fmt: skip
    monitor.register_threshold("error_rate", critical_threshold=5, min_requests=5)
    return app


def main() -> None:
    """Fill a store, serve it, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tabs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tabs-") as folder, served(folder) as server:
        stop = threading.Event()
        traffic = threading.Thread(target=keep_asking, args=("/hello", stop, 1 / PER_SECOND))
        traffic.start()
        try:
            time.sleep(10)
            alone = cpu_of(server, lambda: time.sleep(asked.seconds))
            print(f"no tab: {alone:.3f} s of CPU a second", flush=True)
            with_tabs(server, asked.tabs, asked.seconds, alone)
            probes()
        finally:
            stop.set()
            traffic.join()


@contextlib.contextmanager
def served(folder: str) -> Iterator[psutil.Process]:
    """gunicorn over a store with 100 endpoints and 90 days of requests."""
    app = Flask("shop")
    telemetry = setup_telemetry(
        app, app_name="shop", environment="development", log_dir=folder, log_console=False,
        sdk_disabled=True, log_backups=30, log_max_bytes=10**12,
    )  # fmt: skip
    sizes = argparse.Namespace(errors=4000, groups=200, lines=50_000, routes=100)
    pages.fill(telemetry.components, sizes)
    telemetry.shutdown()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{PORT}"]
    command += ["--workers", str(WORKERS), "--log-level", "warning", "bench.tabs:create_app()"]
    env = {
        **os.environ,
        "LOG_DIR": folder,
        "MONITOR_ADMIN_TOKEN": "",
        "PROLETTO_ALERT_INTERVAL": "1",
    }
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, env=env) as process:
        try:
            while ask("/hello") is None and process.poll() is None:
                time.sleep(0.2)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def ask(path: str) -> float | None:
    """Milliseconds until the answer, whatever it says; None: nobody answers."""
    began = time.perf_counter()
    try:
        urllib.request.urlopen(BASE + path, timeout=60).read()
    except urllib.error.HTTPError as error:
        error.read()
    except OSError:
        return None
    return (time.perf_counter() - began) * 1000


def keep_asking(path: str, stop: threading.Event, pause_s: float) -> None:
    """Ask until the end."""
    while not stop.wait(pause_s):
        ask(path)


def cpu_of(server: psutil.Process, wait: Callable[[], object]) -> float:
    """CPU seconds that the server's processes take in a second while *wait* runs."""

    def taken() -> float:
        found = (p.cpu_times() for p in [server, *server.children(recursive=True)])
        return sum(times.user + times.system for times in found)

    before, began = taken(), time.monotonic()
    wait()
    return (taken() - before) / (time.monotonic() - began)


def with_tabs(server: psutil.Process, number: int, seconds: float, alone: float) -> None:
    """Open the overview so many times, measure, then let traffic fail."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        context = browser.new_context()
        polls: list[str] = []
        context.on("request", lambda request: polls.append(request.url))
        opened = []
        for count in (1, number):
            while len(opened) < count:
                opened.append(context.new_page())
                opened[-1].goto(BASE + pages.ADMIN)
            opened[0].wait_for_timeout(8000)
            polls.clear()
            taken = cpu_of(server, lambda: opened[0].wait_for_timeout(seconds * 1000))
            asked = sum("/api/live" in url for url in polls) / seconds
            more = taken - alone
            print(f"{count} tab(s): {taken:.3f} s of CPU a second, {100 * more:.1f} % of one"
                  f" processor more; {asked:.2f} polls a second", flush=True)  # fmt: skip
        began = time.monotonic()
        for _ in range(400):
            ask("/broken")
            if opened[0].locator("#tile-errors .big.bad").count():
                break
        opened[0].wait_for_selector("#tile-errors .big.bad", timeout=60_000)
        print(f"red {time.monotonic() - began:.1f} s after the first failure", flush=True)
        browser.close()


def probes() -> None:
    """`/livez` alone, and beside a page that is asked for all the time."""
    for name, slow in (("alone", False), (f"beside {SLOW_PAGE}", True)):
        stop, took = threading.Event(), []
        busy = threading.Thread(target=keep_asking, args=(SLOW_PAGE, stop, 0.0))
        if slow:
            busy.start()
        for _ in range(200):
            took.append(ask("/livez") or 60_000.0)
            time.sleep(0.05)
        stop.set()
        if slow:
            busy.join()
            print(f"the page itself: {ask(SLOW_PAGE) or 0:.0f} ms")
        took.sort()
        print(f"/livez {name}: median {statistics.median(took):.1f} ms, 99 % {took[-3]:.1f} ms,"
              f" longest {took[-1]:.1f} ms", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
