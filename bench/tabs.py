"""What ten open tabs of the dashboard cost an application, and `/livez` beside a slow page.

    python -m bench.tabs [--tabs 10] [--seconds 15] [--pairs 6]

gunicorn with four sync workers serves 20 requests a second out of a full store; the tabs are real
ones of Chromium. In pairs of times, with all tabs hidden and all visible, are measured the CPU time
that the server's processes take in a second, which a busy machine changes less than durations, and
how long requests take. The cost to requests alone is measured by as many polls without a browser,
which itself takes more of the machine, while two clients ask as fast as they can. Then, how long
`/livez` takes alone and while a slow page is asked for again and again. How soon an open overview
is red: `bench.red`.
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
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from flask import Flask

from bench import pages
from bench.asking import BASE, PORT, ask, cpu_of, keep_asking
from proletto_otel import setup_telemetry
from proletto_otel.monitoring import monitor
from proletto_otel.state import viewing

WORKERS = 4
PER_SECOND = 20
SETTLED_MS = 4000
"""Until what is made for readers has ended or begun."""
SLOW_PAGE = f"{pages.ADMIN}/requests?range=30d"


def create_app() -> Flask:
    """A shop that works and can fail."""
    # What serves readers goes on for a quarter of an hour after them, and would count for hidden
    # tabs as well.
    viewing.NOTE_S, viewing.LATELY_S = 1.0, 3.0
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
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--pairs", type=int, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tabs-") as folder:
        fill(folder)
        with server(folder) as processes:
            per_second = with_tabs(processes, asked)
            print("as many polls without a browser, two clients as fast as they can", flush=True)
            compare(processes, asked, hurried, Polls(per_second).switch,
                    lambda ms: time.sleep(ms / 1000))  # fmt: skip
            probes()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


def fill(folder: str) -> None:
    """A store with 100 endpoints and 90 days of requests."""
    app = Flask("shop")
    telemetry = setup_telemetry(
        app, app_name="shop", environment="development", log_dir=folder, log_console=False,
        sdk_disabled=True, log_backups=30, log_max_bytes=10**12,
    )  # fmt: skip
    sizes = argparse.Namespace(errors=4000, groups=200, lines=50_000, routes=100)
    pages.fill(telemetry.components, sizes)
    telemetry.shutdown()


@contextlib.contextmanager
def server(folder: str) -> Iterator[psutil.Process]:
    """gunicorn with what is stored in *folder*."""
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


def with_tabs(processes: psutil.Process, asked: argparse.Namespace) -> float:
    """Open the overview once, then so many times, and measure; how often these ask in a second."""
    from playwright.sync_api import sync_playwright

    per_second = 0.0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        context = browser.new_context()
        polls: list[str] = []
        context.on("request", lambda request: polls.append(request.url))
        opened: list[Any] = []
        for count in (1, asked.tabs):
            while len(opened) < count:
                opened.append(context.new_page())
                opened[-1].goto(BASE + pages.ADMIN)
            print(f"{count} tab(s), 20 requests a second", flush=True)
            polls.clear()
            rest = opened[0].wait_for_timeout
            compare(processes, asked, steady, lambda seen: show(opened, seen), rest)
            seen_s = asked.pairs * (asked.seconds + SETTLED_MS / 1000)
            per_second = sum("/api/live" in url for url in polls) / seen_s
            print(f"  {per_second:.2f} polls a second while they are seen", flush=True)
        browser.close()
    return per_second


Client = Callable[[threading.Event], list[float]]


def compare(
    processes: psutil.Process, asked: argparse.Namespace, client: Client,
    switch: Callable[[bool], None], rest: Callable[[float], object],
) -> None:  # fmt: skip
    """Print the medians without and with open tabs, and of the differences of the pairs.

    *rest* waits so many milliseconds: a browser's own wait, as it does nothing beside it.
    """
    found: list[list[tuple[float, ...]]] = []
    for number in range(asked.pairs):
        pair = {}
        # each order as often: what else the machine does has a rhythm of its own
        for on in (True, False) if number % 2 else (False, True):
            switch(on)
            rest(SETTLED_MS)
            pair[on] = window(processes, client, lambda: rest(asked.seconds * 1000))
        found.append([pair[False], pair[True]])
    switch(False)
    for number, name in enumerate(WINDOW):
        without, with_them = ([pair[i][number] for pair in found] for i in (0, 1))
        more = statistics.median(b - a for a, b in zip(without, with_them, strict=True))
        ratio = statistics.median(b / a for a, b in zip(without, with_them, strict=True))
        print(f"  {name}: {statistics.median(without):.3f} -> {statistics.median(with_them):.3f},"
              f" in pairs {more:+.3f} ({100 * ratio - 100:+.1f} %)", flush=True)  # fmt: skip


def show(opened: list[Any], visible: bool) -> None:
    """Let every tab believe that it is seen, or that it is not; a headless one always is."""
    for page in opened:
        page.evaluate(
            "hidden => { Object.defineProperty(document, 'hidden', {value: hidden,"
            " configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }",
            not visible,
        )


class Polls:
    """Asks as the tabs did, without a browser: that takes more of the machine than the server."""

    def __init__(self, per_second: float) -> None:
        self._pause_s = 1 / per_second
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def switch(self, on: bool) -> None:
        """Begin or end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if on:
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stop,))
            self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        tag = ""
        while not stop.wait(self._pause_s):
            url = f"{BASE}{pages.ADMIN}/api/live?page=overview"
            asked = urllib.request.Request(url, headers={"If-None-Match": tag} if tag else {})
            # 304 is an error to urllib
            with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=60) as answer:
                tag = answer.headers["ETag"]
                answer.read()


WINDOW = ("CPU seconds a second", "CPU ms a request", "ms a request, median", "requests a second")


def window(
    processes: psutil.Process, client: Client, wait: Callable[[], object]
) -> tuple[float, ...]:
    """What `WINDOW` names, while two clients ask."""
    stop, took = threading.Event(), list[float]()
    clients = [threading.Thread(target=lambda: took.extend(client(stop))) for _ in range(2)]
    began = time.monotonic()

    def ask_meanwhile() -> None:
        for each in clients:
            each.start()
        wait()
        stop.set()
        for each in clients:
            each.join()

    share = cpu_of(processes, ask_meanwhile)
    per_second = len(took) / (time.monotonic() - began)
    return share, 1000 * share / per_second, statistics.median(took), per_second


def steady(stop: threading.Event) -> list[float]:
    """Ten requests a second; how long they took."""
    took = []
    while not stop.wait(2 / PER_SECOND):
        took.append(ask("/hello") or 60_000.0)
    return took


def hurried(stop: threading.Event) -> list[float]:
    """One request after the other."""
    took = []
    while not stop.is_set():
        took.append(ask("/hello") or 60_000.0)
    return took


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
