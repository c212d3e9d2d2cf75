"""Users and clients of past hours: stored by the leader, shown for the range of the page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.core import internal_errors
from proletto_otel.core.config import load
from proletto_otel.core.errors import ConfigError
from proletto_otel.request.caller_history import DAY_S, STORED, CallerHistory
from proletto_otel.request.top_callers import HOUR_S, Numbers, empty_hour
from proletto_otel.state.store import Store

if TYPE_CHECKING:
    from proletto_otel.request.top_callers import HourSection

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
    past = CallerHistory(store, 30)
    for number in range(3):
        past.record([hour_of({"anna": [number + 1, 0, 0.5]}, HOUR + number)])

    found = past.read((HOUR + 1) * HOUR_S + 1800, (HOUR + 2) * HOUR_S)
    assert [2, 3] == [hour["users"]["entries"]["anna"][0] for hour in found]


def test_hour_under_way_is_stored_again_and_never_lower(store: Store) -> None:
    """Once a minute; workers whose files were removed counted anew: the larger number stays."""
    past = CallerHistory(store, 30)
    past.record([hour_of({"anna": [5, 1, 2.0], "ben": [3, 0, 1.0]})])
    past.record([hour_of({"anna": [9, 1, 3.0]})])
    past.record([hour_of({"anna": [1, 0, 0.1], "carl": [2, 0, 1.0]})])

    (found,) = past.read(HOUR * HOUR_S, HOUR * HOUR_S)
    assert {"anna": [9, 1, 3.0], "ben": [3, 0, 1.0], "carl": [2, 0, 1.0]} == found["users"][
        "entries"
    ]


def test_an_hour_is_bounded_and_says_so(store: Store) -> None:
    """A thousand users leave twenty, and how much each may be too low; a minute later no more."""
    past = CallerHistory(store, 30)
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
    past = CallerHistory(store, 30)
    for number in range(3):
        past.record([hour_of({"anna": [1, 0, 0.5]}, HOUR + number)])
    store.write("UPDATE caller_hours SET callers = x'00' WHERE hour = ?", [(HOUR + 1,)])
    everything = (0, (HOUR + 9) * HOUR_S)

    assert [HOUR, HOUR + 2] == [hour["hour"] for hour in past.read(*everything)]
    past.prune((HOUR + 2) * HOUR_S + 30 * DAY_S)
    assert [HOUR + 2] == [hour["hour"] for hour in past.read(*everything)]


@pytest.mark.parametrize(("days", "left"), [(2, 1), (0.1, 0), (0, 0)])
def test_shorter_or_not_at_all(store: Store, days: float, left: int) -> None:
    """PROLETTO_TOP_CALLERS_DAYS: what was stored before goes as well; with 0 nothing is stored."""
    CallerHistory(store, 30).record([hour_of({"anna": [1, 0, 0.5]})])
    past = CallerHistory(store, days)
    past.record([hour_of({"ben": [1, 0, 0.5]}, HOUR + 24)])
    past.prune((HOUR + 24) * HOUR_S)

    found = past.read(0, (HOUR + 99) * HOUR_S)
    assert left == sum("anna" in hour["users"]["entries"] for hour in found)
    assert bool(days) == any("ben" in hour["users"]["entries"] for hour in found)


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
    recording.past.callers.record([hour_of({"anna": [4, 0, 0.5], "ben": [2, 0, 0.5]}, before)])
    recording.past.record_callers()
    page = "/admin/monitoring/api/pages/requests?range={}"

    lately = client.get(page.format("1h")).get_json()["callers"]
    assert [["anna", 1]] == [[c["name"], c["requests"]] for c in lately["users"]["callers"]]
    of_a_day = client.get(page.format("24h")).get_json()["callers"]
    assert [["anna", 5], ["ben", 2]] == [
        [c["name"], c["requests"]] for c in of_a_day["users"]["callers"]
    ]
    assert before * HOUR_S == of_a_day["since"]
    assert "whole hours" in client.get("/admin/monitoring/requests?range=24h").text


@pytest.mark.parametrize("value", [-1, 31, "long", True])
def test_a_setting_that_does_not_fit_is_told(value: object) -> None:
    """What came and what fits, as of every setting."""
    with pytest.raises(ConfigError, match=r"top_callers_days=.*expected a number from 0 to 30"):
        load({"top_callers_days": value}, {}, {})
    _, warnings = load({}, {}, {"PROLETTO_TOP_CALLERS_DAYS": "long"})
    assert (
        "PROLETTO_TOP_CALLERS_DAYS='long': expected a number from 0 to 30; using 30.0" in warnings
    )


@pytest.mark.usefixtures("telemetry_capture")
def test_nobody_is_counted_where_the_setting_says_so() -> None:
    """No ID and no address leaves the process, none is stored, and the page says why."""
    app = Flask("shop")
    telemetry = setup_telemetry(
        app, environment="development", log_console=False, top_callers_days=0
    )

    @app.get("/orders/<user>")
    def orders(user: str) -> str:
        telemetry.set_user(user)
        return "ok"

    client = app.test_client()
    client.get("/orders/anna")
    telemetry.components.recording.past.record_callers()
    page = client.get("/admin/monitoring/requests").text

    assert not any(telemetry.components.snapshots.sections("callers"))
    assert [] == telemetry.components.recording.past.callers.read(0, 2e9)
    assert "PROLETTO_TOP_CALLERS_DAYS" in page
    assert "anna" not in page
    assert client.get("/admin/monitoring/api/pages/requests").get_json()["callers"] is None
