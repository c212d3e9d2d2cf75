"""Run the shop with traffic and say where to look; Ctrl-C ends everything.

    python examples/shop/demo.py [--seconds N] [--port N]

Needs no server. Where a collector listens on the OTLP endpoint, it gets everything as well.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from children import Child, Failed, wait_until_answering
from traffic import Traffic

EXAMPLES = Path(__file__).resolve().parent.parent
RATE = 10
"""Requests a second."""
BANK_PORT = 1001
"""The bank's port lies so far above the shop's: 9001 beside 8000."""
NEWS_S = 10
"""Seconds between two lines of news."""

WHERE_TO_LOOK = """
The shop is open (gunicorn, 2 workers, about {rate} requests a second).

  Dashboard   {shop}/admin/monitoring
  Metrics     {shop}/metrics
  Health      {shop}/health
  Log files   {logs}/proletto.log
              {logs}/proletto_error.log
              {logs}/proletto_structured.json
  Collector   {collector}

Follow one request that failed, through every file:
  grep -h {request_id} {logs}/proletto*

Close the bank, watch health and errors change on the dashboard, open it again:
  curl -X POST {bank}/off
  curl -X POST {bank}/on

Ctrl-C ends it.
"""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    seconds: float | None
    """When to end by itself."""
    port: int
    folder: Path
    """Where all files of the demo go."""

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.folder / "logs"


def main() -> int:
    """Start the bank, the shop and the visitors; stop them all in the end."""
    options = arguments()
    options.logs.mkdir(parents=True, exist_ok=True)
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: end.set())
    try:
        with bank(options) as bank_url, shop(options, bank_url, end) as shop_url:
            visit(options, shop_url, bank_url, end)
    except Failed as error:
        print(f"The demo could not start: {error}", file=sys.stderr)
        return 1
    print("The demo has ended; its files stay in", shown(options.folder))
    return 0


def arguments() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run the example shop with steady traffic.")
    option = parser.add_argument
    option("--seconds", type=float, metavar="N", help="end by itself after N seconds")
    option("--port", type=int, default=8000, metavar="N", help="port, or the next free one (8000)")
    option(
        "--folder", type=Path, default=EXAMPLES.parent / "demo", metavar="DIR",
        help="where its log files and its database go (demo)",
    )  # fmt: skip
    found = parser.parse_args()
    return Options(found.seconds, found.port, found.folder.resolve())


@contextmanager
def bank(options: Options) -> Iterator[str]:
    """The dependency, while the block runs; gives its URL."""
    port = free_port(options.port + BANK_PORT)
    command = [sys.executable, "-m", "shop.bank", str(port)]
    with Child("bank", command, options.logs / "bank.log", EXAMPLES, environment(options)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def shop(options: Options, bank_url: str, end: threading.Event) -> Iterator[str]:
    """The shop under gunicorn, while the block runs; gives its URL once it answers."""
    port = free_port(options.port)
    command = [
        *(sys.executable, "-m", "gunicorn", "--workers", "2", "--bind", f"127.0.0.1:{port}"),
        *("--graceful-timeout", "3", "shop:create_app()"),
    ]
    settings = environment(options) | {"SHOP_BANK_URL": bank_url}
    url = f"http://127.0.0.1:{port}"
    with Child("shop", command, options.logs / "gunicorn.log", EXAMPLES, settings) as child:
        wait_until_answering(f"{url}/livez", child, end)
        yield url


def environment(options: Options) -> dict[str, str]:
    """Settings of the shop: the folder of its files, and shorter intervals to see it live."""
    ours = {
        "LOG_DIR": str(options.logs),
        "SHOP_DATABASE": str(options.folder / "shop.db"),
        "PROLETTO_LOG_CONSOLE": "0",  # the terminal belongs to the demo; the files have all lines
    }
    unless_set = {
        "FLASK_ENV": "development",  # opens the dashboard on this machine
        "OTEL_SERVICE_NAME": "shop",
        "MONITOR_SAMPLE_INTERVAL": "5",
        "MONITOR_HEALTH_CHECK_INTERVAL": "5",
        "PROLETTO_SHUTDOWN_TIMEOUT": "3",
    }
    return unless_set | dict(os.environ) | ours


def free_port(first: int) -> int:
    """The first port from *first* on that nobody listens on.

    Raises:
        Failed: when none of a hundred is free.
    """
    for port in range(first, min(first + 100, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed(f"none of the 100 ports from {first} on is free")


def visit(options: Options, shop_url: str, bank_url: str, end: threading.Event) -> None:
    """Send traffic and print news until told to end."""
    deadline = time.monotonic() + (math.inf if options.seconds is None else options.seconds)
    traffic = Traffic(shop_url, RATE)
    if not end.is_set():
        facts = {"shop": shop_url, "bank": bank_url, "request_id": failing_request(traffic)}
        print(WHERE_TO_LOOK.format(**facts, **places(options)), flush=True)
        traffic.start()
    while not end.is_set() and (left := deadline - time.monotonic()) > 0:
        end.wait(min(NEWS_S, left))
        print(news(traffic), flush=True)
    traffic.stop()


def failing_request(traffic: Traffic) -> str:
    """Ask for a refund of an order that was not paid; returns the ID of that request."""
    request_id = f"demo-{uuid.uuid4().hex[:12]}"
    traffic.call("POST", "/orders", {"product_id": 2, "quantity": 1})
    traffic.call("POST", f"/orders/{traffic.newest_order}/refund", request_id=request_id)
    return request_id


def places(options: Options) -> dict[str, object]:
    """What else the text for the user names."""
    return {"logs": shown(options.logs), "rate": RATE, "collector": collector()}


def collector() -> str:
    """Whether an OpenTelemetry Collector listens where the shop sends to."""
    url = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=0.5):
            return f"{url} (gets traces, metrics and logs too)"
    except OSError:
        return f"none at {url}; not needed (docker-compose up -d starts one)"


def news(traffic: Traffic) -> str:
    """How many requests were answered, by status."""
    answers = sorted(traffic.answers.copy().items(), key=str)
    counts = ", ".join(f"{count} x {status}" for status, count in answers)
    return f"  {time.strftime('%H:%M:%S')}  {sum(traffic.answers.values())} requests: {counts}"


def shown(path: Path) -> str:
    """The path as the user would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


if __name__ == "__main__":
    sys.exit(main())
