"""The garbage collector ends requests whose body nobody closed, at the worst moments.

CPython 3.10 and 3.11 collect in the middle of `ContextVar.set`, and a finalizer that sets a
variable there leaves the interpreter with freed memory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.otlp_sink import ROOT
from tests.waiting import PATIENCE_S

PROGRAM = """
import gc
from contextvars import ContextVar
from flask import Flask
from werkzeug.test import EnvironBuilder
from proletto_otel import setup_telemetry

app = Flask("shop")
app.add_url_rule("/", "index", lambda: "hello")
telemetry = setup_telemetry(app)
telemetry.activate()
others = [ContextVar(f"v{n}") for n in range(6)]
count, threshold = gc.get_count, gc.set_threshold
environ = EnvironBuilder("/").get_environ()
kept = []
for number in range(ROUNDS):
    for variable in others:
        variable.set(str(number) + variable.name)
    assign, text = others[number % 6].set, str(number)
    gc.disable()
    cycle = [app(dict(environ), lambda *_: lambda data: None)]
    cycle.append(cycle)
    del cycle
    gc.enable()
    threshold(count()[0] + number % 7)
    assign(text)
    threshold(700)
    kept = ["x" * n for n in range(60)]
    assert str(number) == others[number % 6].get()
gc.collect()
telemetry.flush()
(found,) = [f for f in telemetry.families() if f.name == "http.server.request.duration"]
assert ROUNDS == sum(point.value.count for point in found.points), found
"""
ROUNDS = 2000


def test_requests_that_the_collector_ends_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    """Whenever it comes, the process lives and each request is counted once."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("ROUNDS", str(ROUNDS))],
        cwd=ROOT, env={"LOG_DIR": str(tmp_path), "OTEL_SDK_DISABLED": "1", "PROLETTO_STRICT": "1"},
        capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert (0, "") == (done.returncode, done.stderr.decode()[-2000:])
