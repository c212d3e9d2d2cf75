"""What a program's start costs: only what every program needs is imported by set-up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.otlp_sink import ROOT
from tests.waiting import PATIENCE_S

PROGRAM = """
import sys
import flask
before = set(sys.modules)
from proletto_otel import setup_telemetry
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor
app = flask.Flask("shop")
setup_telemetry(app)
print(*sorted(set(sys.modules) - before), file=sys.stderr)
app.test_client().get("/readyz")
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""
NOT_AT_SET_UP = {
    "asyncio", "grpc", "google.protobuf", "gzip", "multiprocessing", "opentelemetry.metrics",
    "opentelemetry.sdk", "opentelemetry.trace", "psutil", "redis", "sqlite3",
    "typing_extensions", "proletto_otel.state.readings",
    "requests", "slack_sdk", "smtplib", "sqlalchemy", "structlog", "yaml",
    "proletto_otel.monitoring.runtime", "proletto_otel.health.engine", "proletto_otel.stack",
    "fractions", "opentelemetry.propagate", "proletto_otel.errors.group_list",
    "proletto_otel.errors.group_rows", "proletto_otel.errors.markdown",
    "proletto_otel.errors.occurrences", "proletto_otel.errors.stack_trace",
    "proletto_otel.request.route_summary", "proletto_otel.runtime.thread_stacks",
    "proletto_otel.logs.search", "proletto_otel.web.catalog", "proletto_otel.alerts",
    "proletto_otel.request.request_history", "proletto_otel.setup.stored_past",
    "proletto_otel.export.sending", "proletto_otel.export.http_connection",
    "proletto_otel.export.spool",
}  # fmt: skip


def test_set_up_imports_only_what_every_program_needs(tmp_path: Path) -> None:
    """No client of a server, no SDK and no rule of an alert before it is needed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env={"LOG_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    at_set_up, at_first_request = (set(line.split()) for line in done.stderr.splitlines()[:2])

    assert set() == NOT_AT_SET_UP & at_set_up
    assert "proletto_otel.setup.telemetry" in at_set_up
    assert "proletto_otel.health.engine" in at_first_request


REQUESTS = """
import sys
import threading
import flask
from proletto_otel import setup_telemetry
own, found = threading.get_ident(), []
class Watch:
    def find_spec(name, path=None, target=None):
        if threading.get_ident() == own:
            found.append(name)
app = flask.Flask("shop")
app.add_url_rule("/", "hello", lambda: "hello")
setup_telemetry(app)
client = app.test_client()
sys.meta_path.insert(0, Watch)
for number in range(12):
    client.get("/")
    print(*found, file=sys.stderr)
    found.clear()
"""
NOT_IN_A_REQUEST = {
    "opentelemetry.sdk", "opentelemetry.sdk.trace", "opentelemetry.sdk.resources", "psutil",
    "opentelemetry.trace", "sqlite3", "typing_extensions", "proletto_otel.export.sending",
    "subprocess", "concurrent.futures", "sqlalchemy", "requests", "opentelemetry.propagate",
    "opentelemetry.propagators.composite",
}  # fmt: skip
OF_THE_START = {"proletto_otel", "opentelemetry", "psutil"}


def test_no_request_imports_the_sdk_and_only_the_first_imports_anything(tmp_path: Path) -> None:
    """Request spans need no SDK, and what the first request leaves out no later one makes up for.

    What other threads import while requests are served is not counted: it is not waited for.
    """
    done = subprocess.run(
        [sys.executable, "-c", REQUESTS], cwd=ROOT, env={"LOG_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    first, *later = (set(line.split()) for line in done.stderr.splitlines()[-12:])

    assert set() == NOT_IN_A_REQUEST & first
    assert [set()] * 11 == [
        {name for name in more if name.partition(".")[0] in OF_THE_START} for more in later
    ]


FIRST = """
import sys
import time
import flask
from proletto_otel import setup_telemetry
from proletto_otel.export import export_thread
from proletto_otel.runtime import ticker
export_thread.BEGIN_AFTER_S = ticker.BEGIN_AFTER_S = 600
LATER = "proletto_otel.export.sending", "proletto_otel.health.engine"
app = flask.Flask("shop")
telemetry = setup_telemetry(app)
@app.get("/")
def hello():
    time.sleep(1)
    return " ".join(name for name in LATER if name in sys.modules)
assert "" == app.test_client().get("/").text
telemetry.flush(300)
assert LATER[0] in sys.modules
"""


def test_threads_that_the_first_request_starts_do_not_take_its_time(tmp_path: Path) -> None:
    """They import after it, ten minutes later here; a flush and the exit do not wait for that."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST], cwd=ROOT, env={"LOG_DIR": str(tmp_path)},
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert 0 == done.returncode


IDLE = """
import sys
import time
import flask
from proletto_otel import setup_telemetry
app = flask.Flask("shop")
setup_telemetry(app)
app.test_client().get("/")
while not {"proletto_otel.export.sending", "proletto_otel.health.engine"} <= set(sys.modules):
    time.sleep(0.05)
time.sleep(2)
print(*sorted(sys.modules), file=sys.stderr)
"""
OF_WHO_ASKS = {"opentelemetry.trace", "opentelemetry.propagate", "typing_extensions"}


def test_api_of_traces_is_left_to_who_asks_for_it(tmp_path: Path) -> None:
    """No job in the background imports it: it is 0.7 MB of each worker."""
    done = subprocess.run(
        [sys.executable, "-c", IDLE], cwd=ROOT, env={"LOG_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip

    assert set() == OF_WHO_ASKS & set(done.stderr.splitlines()[-1].split())


ADDRESSES = """
import sys
from proletto_otel.export import connect
print(*connect.addresses("127.0.0.1", 9, 1), file=sys.stdout)
print(*sorted(sys.modules), file=sys.stderr)
"""


def test_address_of_a_collector_imports_no_table_of_unicode() -> None:
    """A host name in ASCII, as nearly all are, needs no IDNA."""
    done = subprocess.run(
        [sys.executable, "-c", ADDRESSES], cwd=ROOT, capture_output=True, text=True,
        timeout=PATIENCE_S,
        check=True,
    )  # fmt: skip

    assert "127.0.0.1" in done.stdout
    assert set() == {"encodings.idna", "stringprep"} & set(done.stderr.split())
