"""Telemetry under test: everything a program emits, as plain dicts, with nothing leaving it.

The pytest fixture `telemetry_capture` (registered by installing the package) wraps `capture`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from proletto_otel.export.memory import MemoryExporter
from proletto_otel.setup import telemetry as front
from proletto_otel.setup.doubles import TestDoubles
from proletto_otel.setup.telemetry import Telemetry

Plain = dict[str, Any]


class TelemetryCapture:
    """What was emitted since the capture began; each list is read anew at every access."""

    def __init__(self) -> None:
        self._exporter = MemoryExporter()
        self.slack: list[Plain] = []
        """Messages for Slack: `{"text": …, "blocks": […]}`."""
        self.emails: list[Plain] = []
        """Emails: `{"subject": …, "to": […], "text": …}`."""
        self.doubles = TestDoubles(
            exporter=lambda *_: self._exporter,
            slack=lambda _: self._post,
            email=lambda _: self._send,
            is_test=True,
        )

    @property
    def telemetry(self) -> Telemetry:
        """The handle that the program's `setup_telemetry` made (made now, if it made none)."""
        return front.setup_telemetry()

    def _end_open_requests(self) -> None:
        """End requests that the test client left open, as a server would have.

        A program that set nothing up has logged all the same: that comes with the set-up.
        """
        self.telemetry.settle()

    @property
    def spans(self) -> list[Plain]:
        """Finished spans: name, kind, IDs in hex, parent_id, attributes, events, status."""
        self._end_open_requests()
        return self._exporter.spans()

    @property
    def logs(self) -> list[Plain]:
        """Log records as OTLP carries them: body, severity, attributes, trace and span ID."""
        self._end_open_requests()
        return self._exporter.records()

    @property
    def metrics(self) -> list[Plain]:
        """One dict per series: name, kind, unit, attributes, value (or count, sum, buckets)."""
        self._end_open_requests()
        return [
            {"name": f.name, "kind": f.kind, "unit": f.unit, **_series(point)}
            for f in self.telemetry.families()
            for point in f.points
        ]

    def metric(self, name: str, **attributes: object) -> float | None:
        """The value (count, for a histogram) of all series of *name* with these attributes.

        Dots in attribute names are written as underscores: `metric("x", http_route="/a")`.
        """
        found: list[Any] = [
            series.get("count", series.get("value"))
            for series in self.metrics
            if series["name"] == name and _has(series["attributes"], attributes)
        ]
        return sum(found) if found else None

    def clear(self) -> None:
        """Forget what was captured so far (metrics go on)."""
        self._exporter.clear()
        self.slack.clear()
        self.emails.clear()

    def _post(self, text: str, blocks: list[Plain] | None = None) -> None:
        self.slack.append({"text": text, "blocks": blocks or []})

    def _send(self, subject: str, text: str, to: tuple[str, ...]) -> None:
        self.emails.append({"subject": subject, "text": text, "to": list(to)})


def _series(point: Any) -> Plain:
    value = point.value
    if isinstance(value, (int, float)):
        return {"attributes": dict(point.attributes), "value": value}
    buckets = dict(zip((*value.bounds, float("inf")), value.counts, strict=True))
    return {
        "attributes": dict(point.attributes),
        "count": value.count,
        "sum": value.sum,
        "buckets": buckets,
    }


def _has(attributes: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    named = {name.replace(".", "_"): value for name, value in attributes.items()}
    return all(named.get(name) == value for name, value in wanted.items())


@contextmanager
def capture(directory: str | os.PathLike[str]) -> Iterator[TelemetryCapture]:
    """Capture all telemetry of this process; files and state go to *directory*.

    Everything is reset before and after: set-up, metrics, registered checks and thresholds. An
    application that was set up before is captured too: it is set up again at its next request.
    """
    made = TelemetryCapture()
    before = os.environ.get("LOG_DIR")
    os.environ["LOG_DIR"] = os.fspath(directory)
    front.reset()
    restore = front.use_test_doubles(made.doubles)
    try:
        yield made
    finally:
        front.reset()
        restore()
        os.environ.pop("LOG_DIR", None)
        if before is not None:
            os.environ["LOG_DIR"] = before
