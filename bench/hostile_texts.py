"""What other requests of a gthread server notice while hostile texts are logged: p99, printed.

    python -m bench.hostile_texts [--posts 5] [--seconds 3] [--rounds 12]

One worker with eight threads answers `/` 200 times a second; meanwhile bodies of 34 KB are posted
and logged. The text that is slowest to redact in each way of writing it (as it is, percent-encoded,
in JSON, in a header, ...) is compared with ordinary ones of the same length, in short turns that
change order, so that what else the machine does falls on both alike. The ratio is of the 99th
percentiles of all turns together; the quartiles of the turns' ratios show the spread.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from bench.redaction import cpu_ms
from proletto_otel.core.redaction.redactor import Redactor
from tests.corpus import near_misses, ordinary
from tests.servers import free_port, until

SIZE = 34_000
RATE = 200
CLIENTS = 4
APP = """
from flask import Flask, request
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger

app = Flask("shop")
setup_telemetry(app)
app.add_url_rule("/", "index", lambda: "ok")

@app.post("/log")
def log():
    logger.info("received", body=request.get_data(as_text=True))
    return "logged"
"""


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=float, default=5, help="a second")
    parser.add_argument("--seconds", type=float, default=3, help="of each turn")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each text")
    asked = parser.parse_args()
    lines = itertools.cycle(ordinary.lines())
    plain = " ".join(itertools.islice(lines, 2000))[:SIZE]
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        server = serve(Path(directory), port)
        try:
            print(f"{'p99 ms ordinary':>16} {'hostile':>8} {'ratio':>6} {'of turns':>13}  text")
            for name, text in slowest():
                print(f"{compared(port, plain, text, asked)}  {name}", flush=True)
        finally:
            server.terminate()
            server.wait(30)


def compared(port: int, plain: str, hostile: str, asked: argparse.Namespace) -> str:
    """A line of the table: both texts in turns, the first of each round changing."""
    taken: dict[str, list[list[float]]] = {plain: [], hostile: []}
    for n in range(asked.rounds):
        for body in (plain, hostile) if n % 2 else (hostile, plain):
            taken[body].append(waits_ms(port, body, asked.posts, asked.seconds))
    base, other = (p99(itertools.chain.from_iterable(taken[body])) for body in (plain, hostile))
    ratios = [p99(b) / p99(a) for a, b in zip(taken[plain], taken[hostile], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{base:>16.2f} {other:>8.2f} {other / base:>6.2f} {low:>6.2f}-{high:.2f}"


def p99(taken: Iterable[float]) -> float:
    """99th percentile."""
    values = sorted(taken)
    return values[int(len(values) * 0.99)]


def serve(directory: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the server; its telemetry goes to files."""
    (directory / "shop.py").write_text(APP)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8"),
            *("--bind", f"127.0.0.1:{port}", "shop:app"),
        ],
        cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: ask(port, "GET", "/"), 30, "the server answers")
    return server


def ask(port: int, method: str, path: str, body: str | None = None) -> bool:
    """One request on a connection of its own; whether it was answered well."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body=body.encode() if body else None)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def slowest() -> list[tuple[str, str]]:
    """Of each way the text that takes most CPU time to redact, with its name; slowest first."""
    redactor = Redactor()
    worst: dict[str, tuple[float, str, str]] = {}
    for unit in near_misses.UNITS:
        for way, text in near_misses.texts(unit, SIZE):
            found = cpu_ms(redactor, text), f"{unit[:30]!r} {way}", text
            worst[way] = max(worst.get(way, found), found)
    return [(name, text) for _, name, text in sorted(worst.values(), reverse=True)]


def waits_ms(port: int, body: str, posts: float, seconds: float) -> list[float]:
    """What `/` took from the time it was due, in ms, while *body* is posted."""
    end = time.monotonic() + seconds
    taken: list[float] = []

    def paced(rate: float, call: tuple[str, ...], times: list[float]) -> None:
        due = time.monotonic()
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            if not ask(port, *call):
                raise RuntimeError(f"{call[:2]} was not answered")
            times.append(time.monotonic() - due)
            due += 1 / rate

    threads = [
        threading.Thread(target=paced, args=(RATE / CLIENTS, ("GET", "/"), taken))
        for _ in range(CLIENTS)
    ]
    threads.append(threading.Thread(target=paced, args=(posts, ("POST", "/log", body), [])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [1000 * one for one in taken]


if __name__ == "__main__":
    main()
