"""The dashboard of one host shows all hosts, out of the real Prometheus and the real Loki."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.stack.servers import wait_for
from tests.stack.system import System
from tests.stack.traffic import Service, requests
from tests.waiting import slowness

ADMIN = "/admin/monitoring"
HOSTS = ("web-1", "web-2")


@pytest.fixture(scope="module")
def services(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    """One service on two hosts, each with traffic of its own."""
    running = []
    try:
        for host in HOSTS:
            more = {
                "OTEL_RESOURCE_ATTRIBUTES": f"host.name={host}",
                "PROLETTO_PROMETHEUS_URL": system.url("prometheus"),
                "PROLETTO_LOKI_URL": system.url("loki"),
                "MONITOR_ADMIN_TOKEN": "",
                "FLASK_ENV": "development",
                "MONITOR_SAMPLE_INTERVAL": "1",
            }
            folder = tmp_path_factory.mktemp(host)
            service = Service("two-hosts", folder, system.otlp, ("--workers", "1"), more=more)
            service.start()
            running.append(service)
            service.call_all(requests(f"th-{host}", 60))
        yield running
    finally:
        for service in running:
            service.server.stop()


def page(service: Service, name: str, **query: str) -> dict[str, Any]:
    """The JSON of a page about all hosts."""
    asked = urlencode({"hosts": "all", "range": "15m", **query})
    status, _, body = service.fetch("GET", f"{ADMIN}/api/pages/{name}?{asked}")
    assert 200 == status, body
    return dict(json.loads(body))


def _ages(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["age"] for row in rows]


def _is_fresh(age: dict[str, Any] | None) -> bool:
    """Whether it is known and not stale."""
    return age is not None and not age["is_stale"] and age["age_s"] >= 0


def _settled(count: float, expected: int) -> bool:
    """Whether Prometheus has so many samples of a new series that it guesses no more.

    `increase` prolongs what it saw by up to 1.1 intervals at each end: a third too many of a series
    that has a few samples were seen.
    """
    return bool(count == pytest.approx(expected, rel=0.09))


def test_system_has_a_line_for_each_host(services: list[Service]) -> None:
    """CPU, memory and disk of both hosts, and the workers of both."""

    def look() -> dict[str, Any] | None:
        found = page(services[0], "system")
        known = (found["server"]["age"], *found["ages"].values(), *_ages(found["workers"]))
        all_there = found["server"]["hosts"] == 2 and len(found["workers"]) == 2
        return found if all_there and all(map(_is_fresh, known)) else None

    found = wait_for("both hosts", look)

    assert {"cpu_percent", "memory_percent", "disk_percent"} <= {
        r["name"] for r in found["readings"]
    }
    assert set(HOSTS) == {worker["host"] for worker in found["workers"]}
    assert all(worker["memory"] > 1e6 for worker in found["workers"])
    memory = next(r["value"] for r in found["readings"] if r["name"] == "memory_percent")
    assert 1 < memory < 100
    assert {r["name"] for r in found["readings"]} == set(found["ages"])
    assert found["highest"]["memory_percent"] in HOSTS
    _, _, html = services[0].fetch("GET", f"{ADMIN}/system?hosts=all&range=15m")
    assert html.count("web-1 <b>") >= 5
    assert "Newest sample <time" in html
    assert html.count(" on web-") >= 5


def test_requests_are_added_up_over_hosts(services: list[Service]) -> None:
    """Counts of the endpoints are those of both hosts, one host alone has half of them."""

    def look() -> list[Any] | None:
        found = page(services[1], "requests")["endpoints"]
        return found if _settled(sum(e["total"]["count"] for e in found), 120) else None

    found = wait_for("the requests of both", look)

    def fresh() -> bool:
        server = page(services[1], "requests")["server"]
        return _is_fresh(server["age"]) and not server["silent"] and not server["missing"]

    wait_for("counts that both hosts have just sent", fresh)

    by_route = {(e["method"], e["route"]): e["total"] for e in found}
    paid = by_route["POST", "/orders/<int:order_id>/payment"]
    assert paid["errors"] == paid["count"] == pytest.approx(12, abs=2)
    assert 0 < paid["p95"] < 5
    assert not any(str(e["route"]).startswith(ADMIN) for e in found)

    def alone() -> bool:
        mine = json.loads(services[1].fetch("GET", f"{ADMIN}/api/pages/requests?range=15m")[2])
        return sum(e["total"]["count"] for e in mine["endpoints"]) == 60

    wait_for("the requests of one host, which its leader stores every other second", alone)


def test_log_of_all_hosts_is_searched(services: list[Service]) -> None:
    """By request ID, level, text and logger; older lines go on where a page ended."""
    request_id = "th-web-2-0009"

    def look() -> list[Any] | None:
        lines = page(services[0], "logs", identifier=request_id)["found"]["lines"]
        return lines if len(lines) >= 3 else None

    lines = wait_for("the lines of a request on the other host", look)

    newest = page(services[0], "logs", logger="nobody")["server"]["age"]  # of all lines
    assert newest["at"] >= max(line["at"] for line in lines)
    assert {"web-2"} == {line["record"]["host"] for line in lines}
    assert {request_id} == {line["record"]["request_id"] for line in lines}
    failed = next(line for line in lines if line["record"].get("exception"))
    assert "PaymentDeclinedError" in failed["record"]["exception"]["type"]
    assert any("shop.py" in text for text in failed["record"]["exception"]["traceback"])
    severe = page(services[0], "logs", level="ERROR", text="Card Of Order")["found"]["lines"]
    assert {"ERROR"} == {line["record"]["level"] for line in severe}
    assert set(HOSTS) == {line["record"]["host"] for line in severe}
    first = page(services[0], "logs", limit="5")["found"]
    second = page(services[0], "logs", limit="5", cursor=first["cursor"])["found"]
    assert first["lines"][-1]["at"] > second["lines"][0]["at"]
    assert [] == page(services[0], "logs", logger="nobody")["found"]["lines"]
    assert page(services[0], "logs", pattern="card of order [0-9]+ expired")["found"]["lines"]
    assert [] == page(services[0], "logs", text='"} or {a="b')["found"]["lines"]
    took = page(services[0], "logs", limit="200", text="200")["found"]["lines"]
    durations = [line["record"].get("duration_ms") for line in took]
    middle = sorted(float(ms) for ms in durations if ms)[10]
    between = {"duration_min": str(middle), "duration_max": str(middle + 100)}
    slow = page(services[0], "logs", limit="200", **between)["found"]["lines"]
    assert slow
    assert all(middle <= float(x["record"]["duration_ms"]) <= middle + 100 for x in slow)


def test_endpoint_is_shown_of_all_hosts(services: list[Service]) -> None:
    """Totals, statuses, charts and the heat map of one endpoint are those of both hosts."""
    route = "/orders/<int:order_id>/payment"

    def look() -> dict[str, Any] | None:
        found = page(services[0], "endpoint", method="POST", route=route)
        is_settled = _settled(found["total"]["count"], 12) and _is_fresh(found["server"]["age"])
        return found if is_settled else None

    found = wait_for("the payments of both hosts", look)

    total = found["total"]
    assert total["errors"] == total["count"] == total["by_status"]["5xx"]
    assert [("500", total["count"], 1.0, True)] == [
        (s["status"], s["count"], s["share"], s["is_code_stored"]) for s in found["statuses"]
    ]
    assert total["count"] == pytest.approx(12, abs=2)
    assert 0 < total["p50"] <= total["p95"] < 5
    asked = urlencode({"hosts": "all", "range": "15m", "method": "POST", "route": route})
    _, _, html = services[0].fetch("GET", f"{ADMIN}/requests/endpoint?{asked}")
    shown = re.search(r"How long requests took: (\d+) requests", html)
    assert shown is not None
    assert int(shown[1]) == pytest.approx(12, abs=4)
    good = page(services[0], "endpoint", method="POST", route=route, without="failed")["total"]
    assert (total["count"], 0, None) == (good["count"], good["timed"], good["p95"])
    rows = page(services[0], "requests", without="failed")["endpoints"]
    assert all((row["total"]["p95"] is None) == (row["route"] == route) for row in rows), rows
    other = page(services[0], "endpoint", method="GET", route=route)
    assert 0 == other["total"]["count"]
    _, _, html = services[0].fetch("GET", f"{ADMIN}/requests?hosts=all&range=15m")
    assert "/requests/endpoint?range=15m&amp;hosts=all&amp;method=POST" in html


def test_lines_by_level_are_counted_over_all_hosts(services: list[Service]) -> None:
    """The strip above the log: as many errors as both hosts wrote, in the minutes of now."""

    def look() -> dict[str, Any] | None:
        strip = page(services[0], "logs", range="15m")["strip"]
        counts = strip["counts"]["counts"] if strip and not strip["counts"]["problem"] else {}
        return strip if sum(counts.get("ERROR", ())) >= 12 else None

    strip = wait_for("the errors of both hosts", look)

    counts = strip["counts"]
    assert sum(counts["counts"]["INFO"]) >= 100
    assert 0 == sum(counts["counts"]["CRITICAL"])
    newest = max(i for i, n in enumerate(counts["counts"]["ERROR"]) if n)
    assert abs(counts["begin"] + newest * counts["bar_s"] - time.time()) < 600
    _, _, html = services[0].fetch("GET", f"{ADMIN}/logs?hosts=all&range=15m")
    assert "Lines by level in the last 15 minutes: " in html


def test_page_answers_while_prometheus_is_away(system: System, services: list[Service]) -> None:
    """It says so within the deadline, and shows the hosts again when Prometheus is back."""
    system.stop("prometheus")
    try:
        began = time.monotonic()
        found = page(services[0], "system", range="1h")
        assert "connection refused" in found["server"]["problem"]
        # a deadline that is not kept would be a hang
        assert time.monotonic() - began < 20 * slowness()
        assert [] == found["readings"]
    finally:
        system.start_prometheus()

    wait_for("both hosts", lambda: page(services[0], "system")["server"]["hosts"] == 2)


def test_host_that_ended_is_named_as_silent(services: list[Service]) -> None:
    """Its values are marked as stale, with their age, and are not the highest of now."""
    services[1].server.stop()

    def look() -> dict[str, Any] | None:
        found = page(services[0], "system")
        is_stale = [w["age"]["is_stale"] for w in found["workers"] if w["host"] == "web-2"]
        others = _is_fresh(found["server"]["age"]) and is_stale == [True]
        return found if found["server"]["silent"] and others else None

    found = wait_for("the silent host and its worker", look)

    (silent,) = found["server"]["silent"]
    assert "web-2" == silent["host"]
    assert silent["age"]["is_stale"]
    assert 15 <= silent["age"]["age_s"]
    assert {"web-1"} == set(found["highest"].values())
    _, _, html = services[0].fetch("GET", f"{ADMIN}/system?hosts=all&range=15m")
    assert '1 host is silent: <span class="id">web-2</span>' in html

    def counts() -> bool:
        return [s["host"] for s in page(services[0], "requests")["server"]["silent"]] == ["web-2"]

    wait_for("the silent host beside the requests", counts)
