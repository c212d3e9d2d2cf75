"""A fork by a server in C, such as uWSGI's: no hook of Python's runs, the child notices itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE_S

FORKS = """
import concurrent.futures, logging, os, random, sys, threading
from flask import Flask
# Only the hooks of the standard library are there. A fork by C itself cannot be tried beside a
# thread: without the interpreter's own clean-up the child may wait for that thread for ever.
os.register_at_fork = lambda **hooks: None
from proletto_otel import setup_telemetry

app = Flask(__name__)
app.add_url_rule("/", "home", lambda: "ok")
telemetry = setup_telemetry(app, log_dir=sys.argv[1], log_console=False)
telemetry.activate()
log = logging.getLogger("shop")
log.info("before")
# As in the middle of a busy moment: the thread that writes copies has not got round to these yet.
from proletto_otel.logs.pipeline import pipeline
with pipeline.deferred.gate:
    for number in range(20):
        log.info("parent %d", number)
    pid = os.fork()
if pid == 0:
    app.test_client().get("/")
    log.info("child")
    telemetry.flush(5)
    log.info("child again")
    telemetry.shutdown()
    os._exit(0)
os.waitpid(pid, 0)
telemetry.shutdown()
"""


def test_child_writes_its_own_lines_and_no_others(tmp_path: Path) -> None:
    """What waited in memory at the fork is written once, by the parent."""
    subprocess.run(
        [sys.executable, "-c", FORKS, str(tmp_path)],
        check=True,
        timeout=PATIENCE_S,
        capture_output=True,
    )
    wanted = {"before", "child", "child again", *(f"parent {n}" for n in range(20))}
    (structured,) = tmp_path.glob("*_structured.json")
    messages = [json.loads(line)["message"] for line in structured.read_text().splitlines()]
    # written a little later than the structured file, from what waits in memory
    (text,) = (path for path in tmp_path.glob("*.log") if "error" not in path.name)
    lines = text.read_text().splitlines()

    assert sorted(m for m in messages if m.split()[0] in ("before", "parent", "child")) == sorted(
        wanted
    )
    shown = [line.rsplit("shop", 1)[-1] for line in lines if "shop" in line and "GET /" not in line]
    assert len(shown) == len(wanted) == len(set(shown))
