"""A database sink against a real server: started, asked, and used by eight workers at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from proletto_otel.core import config
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.sinks.database.sink import DatabaseSink
from tests.waiting import PATIENCE_S


@contextmanager
def running(db: Any, **settings: Any) -> Iterator[DatabaseSink]:
    """A started sink in the pipeline, stopped at the end."""
    made = DatabaseSink.of(db, config.load(settings, {}, {})[0])
    pipeline.add(made)
    made.start()
    try:
        yield made
    finally:
        made.stop(time.monotonic() + 5)
        pipeline.remove(made)


def count(engine: sa.Engine, where: str = "true") -> int:
    """Rows of the table."""
    with engine.connect() as connection:
        return int(
            connection.exec_driver_sql(
                f"SELECT count(*) FROM error_logs WHERE {where}"
            ).scalar_one()
        )


def messages(engine: sa.Engine) -> list[str]:
    """The messages in the order they were stored."""
    with engine.connect() as connection:
        query = "SELECT message FROM error_logs ORDER BY id"
        return list(connection.exec_driver_sql(query).scalars())


def flushed(sink: DatabaseSink, seconds: float = PATIENCE_S) -> bool:
    """Whether everything is written in time."""
    return sink.flush(time.monotonic() + seconds)


WORKER = """
import sys, time
from proletto_otel.core import config
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.sinks.database.sink import DatabaseSink

sink = DatabaseSink.of(sys.argv[1], config.load({}, {}, {})[0])
pipeline.use([sink])
print("ready", flush=True)
sys.stdin.readline()
sink.start()
for i in range(20):
    get_logger("w").error("e", n=i)
assert sink.flush(time.monotonic() + 300), sink.status()
sink.stop(time.monotonic() + 5)
assert sink.status()["sent"] == 20, sink.status()
"""


def eight_workers(url: str) -> None:
    """Eight processes begin at the same moment; each stores 20 rows."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert "ready\n" == worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()

    for worker in workers:
        worker.communicate(timeout=PATIENCE_S)
        assert 0 == worker.returncode
