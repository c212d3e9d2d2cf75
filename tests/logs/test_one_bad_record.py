"""A record that cannot be made or written costs itself alone, and is counted where it is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.api.loggers import logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record.call_site import UNKNOWN, CallSite
from proletto_otel.logs.record.record import Record
from tests.logs.conftest import Room, balance


def test_a_record_that_cannot_be_written(room: Callable[..., Room]) -> None:
    """One of many: the others arrive in every sink, and it is counted where it is lost."""
    made = room(log_level="DEBUG")
    call_site = CallSite("test", 20)
    times = [time.time_ns(), -(10**30), time.time_ns()]  # no clock says that
    records = [Record(time_ns, call_site, f"line {n}", {}) for n, time_ns in enumerate(times)]

    for sink in pipeline.sinks:
        if sink.name != "error_file":
            sink.write_many(records)

    assert ["line 0", "line 2"] == [line[MESSAGE] for line in made.lines]
    assert ["line 0", "line 2"] == [item.body.string_value for item in made.otlp]
    assert 2 == made.text().count("line ")
    for name in ("console", "file", "json_file"):
        warnings = 1 if name == "console" else 0  # our own warning goes there
        assert (3 + warnings, 3 + warnings) == balance(name)
        assert 1 == ledger.totals()[name]["dropped"]["error"]
    assert 1 == ledger.totals()["otlp_logs"]["dropped"]["encode_error"]


@pytest.mark.usefixtures("lenient")
def test_a_record_that_cannot_be_made(room: Callable[..., Room]) -> None:
    """Every sink that would have had it counts one dropped record."""
    made = room()
    name: Any = ["no", "text"]
    pipeline.emit(name, 20, "event", {}, None, UNKNOWN, 0)
    logger.info("fine")
    made.logs.flush(time.monotonic() + 5)

    for sink, lost in (("file", 1), ("json_file", 1), ("error_file", 0)):
        assert lost == ledger.totals().get(sink, {"dropped": {}})["dropped"].get("error", 0)
    assert (2, 2) == balance("json_file")


@pytest.mark.usefixtures("lenient")
def test_an_access_line_that_cannot_be_made(room: Callable[..., Room]) -> None:
    """The lines of the requests around it are written, and it is counted in every sink."""
    made = room()
    assert made.logs.access is not None
    good: dict[str, Any] = {
        "method": "GET", "route": "/", "path": "/", "status": 200, "duration_s": 0.1,
        "response_size": 5, "client": "::1", "end_ns": 1, "thread_id": 1, "user_id": None,
        "request_id": "r", "trace_id": "", "span_id": "", "sampled": False, "raw_ids": b"",
    }  # fmt: skip
    requests = [SimpleNamespace(**{**good, "path": path}) for path in ("/a", None, "/b")]
    records, targets = made.logs.access.made(requests)
    for target in targets:
        target([record for record in records if record is not None])

    assert ["/a", "/b"] == [line["url.path"] for line in made.lines]
    assert (3, 3) == balance("json_file")
    assert 1 == ledger.totals()["json_file"]["dropped"]["error"]
