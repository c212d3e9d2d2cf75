"""A service under gunicorn, 300 requests, SIGTERM: every request is found in every store, once.

The library, the collector, Prometheus and Loki are the real ones, with the shipped configuration.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stack.servers import wait_for
from tests.stack.system import System
from tests.stack.traffic import Request, Service, expected_counts, requests

MODES = {
    "sync": ("--workers", "2"),
    "preload": ("--workers", "2", "--preload"),
    "gthread": ("--workers", "2", "--worker-class", "gthread", "--threads", "4"),
}
COUNT = "http_server_request_duration_seconds_count"
FIRST = 200
"""So many requests before the service is left alone for two exports."""
TERM_SECONDS = 8
"""The five seconds of the library, and what gunicorn itself takes on a busy machine."""
SERVER = 2
STATUS_ERROR = 2


@dataclass
class Run:
    """A finished run: what was asked, what the service itself said, and where to look."""

    service: Service
    made: list[Request]
    scraped: list[Counter[tuple[str, str, str]]]
    """What `/metrics` said when asked several times before the end."""
    system: System

    @property
    def by_id(self) -> dict[str, Request]:
        """The requests by their ID."""
        return {request.request_id: request for request in self.made}

    def json_lines(self) -> list[dict[str, Any]]:
        """The structured log; a torn line does not parse."""
        text = (self.service.folder / "logs/shop_structured.json").read_text()
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    def of_requests(self) -> Counter[tuple[str, str]]:
        """(request ID, message) of the structured log, of our requests only."""
        return Counter(
            (line["request_id"], line["message"])
            for line in self.json_lines()
            if line.get("request_id") in self.by_id
        )


@pytest.fixture(scope="module", params=MODES)
def run(
    request: pytest.FixtureRequest, system: System, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """300 requests to two workers of one kind, then SIGTERM."""
    name = f"e2e-{request.param}"
    folder = tmp_path_factory.mktemp(name)
    service = Service(name, folder, system.otlp, MODES[request.param])
    made = requests(name)
    service.start()
    try:
        service.call_all(made[:FIRST])
        # A rate needs two exports; the rest of the requests then has the last one to itself.
        history = f'min(count_over_time({COUNT}{{service_name="{name}"}}[5m])) > 1'
        wait_for("two exports", lambda: system.promql(history))
        service.call_all(made[FIRST:])
        scraped = [scrape(service, made) for _ in range(6)]
        service.terminate(TERM_SECONDS)
    finally:
        service.server.stop()
    return Run(service, made, scraped, system)


def scrape(service: Service, made: list[Request]) -> Counter[tuple[str, str, str]]:
    """The counts of `/metrics`, asked until all requests are in it."""

    def look() -> Counter[tuple[str, str, str]] | None:
        found = counts_of(service.fetch("GET", "/metrics")[2])
        return found if found.total() >= len(made) else None

    return wait_for("/metrics to count every request", look)


def counts_of(text: str) -> Counter[tuple[str, str, str]]:
    """(method, route, status) -> requests, from the text of `/metrics`."""
    return Counter(
        {
            key(sample.labels): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == COUNT and sample.labels.get("http_route") != "/metrics"
        }
    )


def key(labels: dict[str, str]) -> tuple[str, str, str]:
    """How `expected_counts` calls a series."""
    status = labels["http_response_status_code"]
    return labels["http_request_method"], labels.get("http_route", ""), status


def test_any_worker_shows_all_requests(run: Run) -> None:
    """/metrics sums over all workers, whichever is asked."""
    assert [expected_counts(run.made)] * 6 == run.scraped


def test_prometheus_counts_every_request(run: Run) -> None:
    """Prometheus has each request once, under its route and status, after SIGTERM."""
    query = f'{COUNT}{{service_name="{run.service.name}", http_route!="/metrics"}}'

    def look() -> Counter[tuple[str, str, str]] | None:
        found: Counter[tuple[str, str, str]] = Counter()
        for series in run.system.promql(query):
            found[key(series["metric"])] += int(series["value"][1])
        return found if found.total() >= len(run.made) else None

    assert expected_counts(run.made) == wait_for("all counts", look)


def test_the_host_is_one_instance(run: Run) -> None:
    """All workers of a host are one series, which outlives each of them."""
    wait_for("counts", lambda: run.system.promql(f'{COUNT}{{service_name="{run.service.name}"}}'))
    found = run.system.promql(f'count by (instance) ({COUNT}{{service_name="{run.service.name}"}})')

    assert 1 == len(found)


def test_every_request_has_one_span(run: Run) -> None:
    """Each request is one server span with the right name, ID and status."""
    seen = wait_for(
        "all spans",
        lambda: spans if len(spans := server_spans(run)) >= len(run.made) else None,
    )

    expected = Counter((made.request_id, made.span_name, made.fails) for made in run.made)
    assert expected == Counter(
        (span.attributes.get("request_id"), span.name, span.status == STATUS_ERROR) for span in seen
    )
    assert len(run.made) == len({span.trace_id for span in seen})


def server_spans(run: Run) -> list[Any]:
    """The server spans of the service's requests, as Tempo would have got them."""
    found = run.system.tempo.of(run.service.name)
    return [span for span in found if span.kind == SERVER]


def test_loki_has_every_line_of_the_files(run: Run) -> None:
    """No line is lost on the way to Loki, none arrives twice."""
    expected = run.of_requests()
    query = f'{{service_name="{run.service.name}"}} | request_id=~"{run.service.name}-.+"'

    seen = wait_for(
        "all lines",
        lambda: lines if len(lines := run.system.logql(query)) >= expected.total() else None,
    )

    assert expected == Counter(
        (labels["request_id"], line.splitlines()[0]) for labels, line in seen
    )
    assert set(run.by_id) == {labels["request_id"] for labels, _ in seen}


def test_one_id_finds_one_request(run: Run) -> None:
    """Pasting a request ID finds exactly that request's lines, a failing one's with its trace."""
    for made in (run.made[0], run.made[150], *[made for made in run.made if made.fails][:3]):
        query = f'{{service_name="{run.service.name}"}} | request_id="{made.request_id}"'
        expected = Counter(
            {message: count for (found, message), count in run.of_requests().items()
             if found == made.request_id}
        )  # fmt: skip

        seen = wait_for(
            made.request_id,
            lambda: lines if len(lines := run.system.logql(query)) >= expected.total() else None,  # noqa: B023
        )

        assert expected == Counter(line.splitlines()[0] for _, line in seen)
        assert made.fails == any(
            "Traceback (most recent call last):" in line
            and "PaymentDeclinedError: card of order" in line
            for _, line in seen
        )


def test_line_and_span_share_the_trace(run: Run) -> None:
    """The trace ID of a line leads to the span of the same request."""
    spans = wait_for("spans", lambda: server_spans(run))
    of_span = {span.attributes.get("request_id"): span.trace_id for span in spans}

    for line in run.json_lines():
        if line.get("request_id") in run.by_id:
            assert of_span[line["request_id"]] == line["trace_id"]


def test_files_hold_every_request(run: Run) -> None:
    """The text file names every request, the error file exactly the failing ones."""
    logs = run.service.folder / "logs"
    text, errors = read(logs / "shop.log"), read(logs / "shop_error.log")

    assert [] == [found for found in run.by_id if found not in text]
    failing = {made.request_id for made in run.made if made.fails}
    assert failing == {found for found in run.by_id if found in errors}
    assert len(failing) == errors.count("Traceback (most recent call last):")


def read(path: Path) -> str:
    """A whole log file, which ends with a whole line."""
    text = path.read_text()
    assert text.endswith("\n")
    return text


def test_exemplars_lead_to_traces(run: Run) -> None:
    """A point of the latency panel carries a trace ID that exists."""
    bucket = f'http_server_request_duration_seconds_bucket{{service_name="{run.service.name}"}}'

    found = wait_for("exemplars", lambda: run.system.exemplars(bucket))

    seen = {one["labels"]["trace_id"] for each in found for one in each["exemplars"]}
    assert seen <= {span.trace_id for span in server_spans(run)}


def test_library_failed_nowhere(run: Run) -> None:
    """Nothing was dropped and no step of the library failed."""
    service = f'{{service_name="{run.service.name}"}} > 0'

    assert [] == run.system.promql(f"proletto_telemetry_internal_errors_total{service}")
    assert [] == run.system.promql(f"proletto_telemetry_dropped_total{service}")
