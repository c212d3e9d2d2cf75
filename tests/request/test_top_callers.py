"""Who asks most: exact while a table holds everybody, at least and at most where it does not."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.request import top_callers
from proletto_otel.request.top_callers import HOUR_S, TopCallers, merge

NOW = 1_000_000.0 * HOUR_S


@dataclass
class Series:
    """What the requests of one kind share."""

    failed: bool = False


@dataclass
class Request:
    """As much of a finished request as is counted."""

    user_id: str | None = None
    client: str = ""
    route: str | None = "/orders"
    duration_s: float = 0.5
    streams: bool = False
    failed: bool = False

    @property
    def series(self) -> Series:
        return Series(self.failed)


def made(**options: Any) -> TopCallers:
    """A counter at a fixed time."""
    return TopCallers(now=lambda: NOW, **options)


def users(counted: TopCallers) -> dict[str, list[float]]:
    """What other workers are told of users."""
    return dict(counted.section()[0]["users"]["entries"])


def test_requests_failures_and_time_are_added_up() -> None:
    """By user where known, by client always; streams take no time, our pages do not count."""
    counted = made(own_routes={"/metrics"})
    counted.add([Request("anna", "10.0.0.1"), Request("anna", "10.0.0.2", failed=True)])  # type: ignore[list-item]
    counted.add([Request(None, "10.0.0.1", streams=True), Request("anna", route="/metrics")])  # type: ignore[list-item]

    (hour,) = counted.section()
    assert {"anna": [2, 1, 1.0]} == hour["users"]["entries"]
    assert {"10.0.0.1": [2, 0, 0.5], "10.0.0.2": [1, 1, 0.5]} == hour["clients"]["entries"]
    assert [0, 0, 0.0] == hour["users"]["missed"]


def test_numbers_are_between_their_bounds() -> None:
    """Whatever comes: never too high, never lower than `missed` says, and the table stays small."""
    rng, counted, true = random.Random(7), made(), Counter[str]()
    for _ in range(300):
        batch = [str(int(rng.paretovariate(0.4)) % 50_000) for _ in range(100)]
        true.update(batch)
        counted.add([Request(user, failed=user < "2") for user in batch])  # type: ignore[misc]

    table = counted.section()[0]["users"]
    assert len(table["entries"]) <= 3 * top_callers.PUBLISHED
    missed = table["missed"][0]
    assert 0 < missed < sum(true.values()) / 100
    for user, (requests, _, _) in table["entries"].items():
        assert requests <= true[user] <= requests + missed
    for user, count in true.items():
        assert user in table["entries"] or count <= missed


def test_many_clients_fill_no_memory() -> None:
    """A new client with every request, with an ID of any length."""
    counted = made()
    for n in range(0, 20_000, 50):
        counted.add([Request(f"{i}" * 500, f"c{i}") for i in range(n, n + 50)])  # type: ignore[misc]

    (hour,) = counted._hours
    assert len(hour["clients"]["entries"]) <= top_callers.MAX_ENTRIES + 50
    assert max(map(len, hour["users"]["entries"])) <= top_callers.MAX_KEY


def test_one_who_fails_seldom_asked_is_kept() -> None:
    """The tables are shortened by each number: few requests that all fail are not lost."""
    counted = made()
    counted.add([Request("broken", failed=True)] * 3)  # type: ignore[list-item]
    for n in range(4000):
        counted.add([Request(f"u{n}", duration_s=0.0)] * 4)  # type: ignore[list-item]

    assert users(counted)["broken"][1] == 3


def test_hours_pass_and_workers_are_added_up() -> None:
    """This hour and the one before; what a worker of the past left counts, older hours do not."""
    now = [NOW]
    one, two = (TopCallers(now=lambda: now[0]) for _ in range(2))
    one.add([Request("anna")])  # type: ignore[list-item]
    now[0] += HOUR_S
    two.add([Request("anna"), Request("ben")])  # type: ignore[list-item]
    sections = [one.section(), two.section()]

    merged = merge(sections, now[0])
    assert [["anna"], ["anna", "ben"]] == [list(h["users"]["entries"]) for h in merged]
    assert merged == merge([merge(sections, now[0])], now[0])
    assert 1 == len(merge(sections, now[0] + HOUR_S))
    assert [] == merge(sections, now[0] + 2 * HOUR_S)


@pytest.mark.usefixtures("telemetry_capture")
def test_page_shows_users_and_clients() -> None:
    """Through the front door: who asked, how often it failed, sorted by what is wanted."""
    app = Flask("shop")
    telemetry = setup_telemetry(app, environment="development", log_console=False)

    @app.get("/orders/<user>")
    def orders(user: str) -> str:
        telemetry.set_user(user)
        if user == "broken":
            raise ValueError("no")
        return "ok"

    client = app.test_client()
    for user, times in (("anna", 3), ("broken", 1), ("<b>", 2)):
        for _ in range(times):
            client.get(f"/orders/{user}")
    page = "/admin/monitoring/api/pages/requests?callers={}"

    found = client.get(page.format("requests")).get_json()["callers"]
    assert [["anna", 3], ["<b>", 2], ["broken", 1]] == [
        [c["name"], c["requests"]] for c in found["users"]["callers"]
    ]
    assert [["127.0.0.1", 6, 1]] == [
        [c["name"], c["requests"], c["errors"]] for c in found["clients"]["callers"]
    ]
    failing = client.get(page.format("errors")).get_json()["callers"]
    assert ["broken"] == [c["name"] for c in failing["users"]["callers"]]
    html = client.get("/admin/monitoring/requests").text
    assert "&lt;b&gt;</a>" in html
    assert "Approximate" in html
