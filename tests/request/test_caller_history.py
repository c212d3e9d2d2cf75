"""Users and clients of past hours: stored by the leader, shown for the range of the page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.core import internal_errors
from proletto_otel.request.caller_history import KEPT_S, STORED, CallerHistory
from proletto_otel.request.top_callers import HOUR_S, HourSection, Numbers, empty_hour
from proletto_otel.state.store import Store

HOUR = 470_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.stop(time.monotonic() + 1)


def hour_of(users: dict[str, Numbers], hour: int = HOUR) -> HourSection:
    made = empty_hour(hour)
    made["users"]["entries"] = users
    return made


def test_hours_are_stored_and_read_by_time(store: Store) -> None:
    """Each hour that the time touches, oldest first."""
    past = CallerHistory(store)
    for number in range(3):
        past.record([hour_of({"anna": [number + 1, 0, 0.5]}, HOUR + number)])

    found = past.read((HOUR + 1) * HOUR_S + 1800, (HOUR + 2) * HOUR_S)
    assert [2, 3] == [hour["users"]["entries"]["anna"][0] for hour in found]


def test_hour_under_way_is_stored_again_and_never_lower(store: Store) -> None:
    """Once a minute; workers whose files were removed counted anew: the larger number stays."""
    past = CallerHistory(store)
    past.record([hour_of({"anna": [5, 1, 2.0], "ben": [3, 0, 1.0]})])
    past.record([hour_of({"anna": [9, 1, 3.0]})])
    past.record([hour_of({"anna": [1, 0, 0.1], "carl": [2, 0, 1.0]})])

    (found,) = past.read(HOUR * HOUR_S, HOUR * HOUR_S)
    assert {"anna": [9, 1, 3.0], "ben": [3, 0, 1.0], "carl": [2, 0, 1.0]} == found["users"][
        "entries"
    ]


def test_an_hour_is_bounded_and_says_so(store: Store) -> None:
    """A thousand users leave twenty, and how much each may be too low; a minute later no more."""
    past = CallerHistory(store)
    many = {f"user-{n}": [1000.0 - n, 0, 0.0] for n in range(1000)}
    for _ in range(5):
        past.record([hour_of(many)])

    (found,) = past.read(HOUR * HOUR_S, HOUR * HOUR_S)
    assert STORED == len(found["users"]["entries"])
    assert 1000 - STORED == found["users"]["missed"][0]


def test_old_hours_go_and_damaged_ones_are_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 days are kept; bytes that cannot be read hide no other hour."""
    monkeypatch.setattr(internal_errors, "strict", False)
    past = CallerHistory(store)
    for number in range(3):
        past.record([hour_of({"anna": [1, 0, 0.5]}, HOUR + number)])
    store.write("UPDATE caller_hours SET callers = x'00' WHERE hour = ?", [(HOUR + 1,)])
    everything = (0, (HOUR + 9) * HOUR_S)

    assert [HOUR, HOUR + 2] == [hour["hour"] for hour in past.read(*everything)]
    past.prune((HOUR + 2) * HOUR_S + KEPT_S)
    assert [HOUR + 2] == [hour["hour"] for hour in past.read(*everything)]


@pytest.mark.usefixtures("telemetry_capture")
def test_page_follows_the_range() -> None:
    """An hour shows who asked lately, a day who asked before that as well, and from when on."""
    app = Flask("shop")
    telemetry = setup_telemetry(app, environment="development", log_console=False)

    @app.get("/orders/<user>")
    def orders(user: str) -> str:
        telemetry.set_user(user)
        return "ok"

    client = app.test_client()
    client.get("/orders/anna")
    before = int(time.time()) // HOUR_S - 5
    recording = telemetry.components.recording
    recording.callers.record([hour_of({"anna": [4, 0, 0.5], "ben": [2, 0, 0.5]}, before)])
    recording.record_callers()
    page = "/admin/monitoring/api/pages/requests?range={}"

    lately = client.get(page.format("1h")).get_json()["callers"]
    assert [["anna", 1]] == [[c["name"], c["requests"]] for c in lately["users"]["callers"]]
    of_a_day = client.get(page.format("24h")).get_json()["callers"]
    assert [["anna", 5], ["ben", 2]] == [
        [c["name"], c["requests"]] for c in of_a_day["users"]["callers"]
    ]
    assert before * HOUR_S == of_a_day["since"]
    assert "whole hours" in client.get("/admin/monitoring/requests?range=24h").text
