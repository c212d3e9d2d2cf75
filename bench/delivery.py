"""Whether all telemetry arrived: what was not delivered was not measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from application import KINDS, REQUEST_ID
from receiver import Received
from subjects import Subject

OTLP = ("opentelemetry", "proletto", "proletto_stdlib")


def faults(subject: Subject, received: Received) -> list[str]:
    """What of a configuration is missing at the receiver, or in the numbers of `/metrics`."""
    sent: dict[str, int] = subject.ask("sent")
    requests = sum(sent.values())
    checks = [("payloads that could not be decoded", len(received.undecodable), 0)]
    if subject.name == "sentry":
        checks += [("transactions", received.counts["sentry transaction"], requests)]
    if subject.name in OTLP:
        checks += otlp_checks(sent, received)
    if subject.name.startswith("proletto"):
        checks += own_checks(sent, received, subject)
    return [
        f"{subject.name}: {what}: {found}, must be {wanted}"
        for what, found, wanted in checks
        if found != wanted
    ]


Check = tuple[str, float, float]
"""What is counted, how many there are, how many there must be."""


def otlp_checks(sent: dict[str, int], received: Received) -> Iterator[Check]:
    """Spans, durations, log records and tracebacks, one each."""
    counts, requests = received.counts, sum(sent.values())
    yield "server spans", counts["server spans"], requests
    yield "http.server.request.duration", sum(received.duration_counts.values()), requests
    for name, kind in KINDS.items():
        for event in kind.events:
            yield f"log records {event!r}", counts[f"log {event}"], sent[name]
        if text := kind.exception:
            yield f"tracebacks {text!r}", tracebacks(counts, text), sent[name]


def tracebacks(counts: Counter[str], text: str) -> int:
    """Tracebacks of an exception: stock OpenTelemetry has them in spans, others in log records."""
    return max(counts[f"span {text}"], counts[f"log {text}"])


def own_checks(sent: dict[str, int], received: Received, subject: Subject) -> Iterator[Check]:
    """What only this library has: request IDs, access lines, `/metrics`, the JSON file."""
    requests = sum(sent.values())
    lines = requests + sum(
        sent[name] * (len(kind.events) + bool(kind.exception)) for name, kind in KINDS.items()
    )
    yield "request IDs", len(received.request_ids), requests
    yield "requests counted by /metrics", subject.ask("counted"), requests
    yield "log records, access lines among them", received.counts["log records"], lines
    yield "JSON lines with a request ID", json_lines(subject.folder), lines


def json_lines(folder: Path) -> int:
    """Lines of the structured file and its rotated ones that have a request ID of ours."""
    text = f'"request_id":"{REQUEST_ID[:8]}'
    return sum(
        text in line
        for path in folder.glob("proletto_structured.json*")
        for line in path.read_text(encoding="utf-8").splitlines()
    )
