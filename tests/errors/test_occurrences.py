"""Occurrences: the first, the last fifty and a sample of the rest, each with its whole story."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.errors import occurrence_rows, tables
from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.state.store import Store
from tests.logs.conftest import Room

log = get_logger("shop")


def refuse(number: int, user: str = "") -> str:
    """Fail within a request; its ID."""
    context = RequestContext(f"{number:032x}", f"f{number:031x}", "b" * 16)
    context.user_id = user or None
    token = enter(context)
    try:
        raise ValueError(f"card {number} refused")
    except ValueError:
        log.exception("payment failed", component="pay", order=number)
    finally:
        leave(token)
    return context.request_id


def key_of(groups: ErrorGroups) -> str:
    """The fingerprint of the only group."""
    (group,) = groups.groups()
    return group.fingerprint


def test_first_last_and_a_sample(groups: ErrorGroups) -> None:
    """Of many occurrences the first, the last fifty and fifty between stay; the count is exact."""
    for number in range(600):
        refuse(number)
        if number % 20 == 19:
            groups.write_down()
    key = key_of(groups)

    group = groups.group(key)
    assert group is not None
    assert (600, 101) == (group.count, group.stored)
    orders = [o.facts["order"] for o in groups.occurrences(key, limit=200)]
    assert list(range(599, 549, -1)) == orders[:50]
    assert 0 == orders[-1]
    between = orders[50:-1]
    assert 50 == len(between)
    # fair: no quarter of the time is without, and none has nearly all
    quarters = [sum(low <= n < low + 138 for n in between) for low in range(0, 552, 138)]
    assert all(3 <= quarter <= 25 for quarter in quarters)


def test_pages_of_occurrences(groups: ErrorGroups) -> None:
    """`before` goes on where the last page ended."""
    for number in range(9):
        refuse(number)
    key = key_of(groups)

    newest = groups.occurrences(key, limit=4)
    rest = groups.occurrences(key, before=newest[-1].id)
    assert list(range(8, -1, -1)) == [o.facts["order"] for o in (*newest, *rest)]
    first = groups.first_occurrence(key)
    assert first is not None
    assert 0 == first.facts["order"]
    assert rest[0] == groups.occurrence(rest[0].id)


def test_found_by_request_and_trace(groups: ErrorGroups) -> None:
    """A request ID or a trace ID finds the errors of that request, an odd one none."""
    ids = [refuse(number) for number in range(5)]

    for identifier in (ids[3], f"f{3:031x}"):
        (only,) = groups.occurrences_of_request(identifier)
        assert 3 == only.facts["order"]
        assert (ids[3], f"f{3:031x}") == (only.request_id, only.trace_id)
    for odd in ("", "nobody", "0" * 31, "' OR 1=1 --", "é" * 200):
        assert [] == groups.occurrences_of_request(odd)


def test_users_are_counted_once(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Different users of a group, up to the cap and then "+"."""
    monkeypatch.setattr(tables, "MAX_USERS", 1000)
    for number in range(30):
        refuse(number, user=f"user-{number % 7}")
        if number % 10 == 0:
            groups.write_down()
    (group,) = groups.groups()
    assert (7, "7") == (group.users, group.users_text)

    for number in range(1200):
        refuse(number, user=f"more-{number}")
        if number % 300 == 0:
            groups.write_down()
    (group,) = groups.groups(sort="users")
    assert (1000, "1,000+") == (group.users, group.users_text)


def test_small_on_disk(groups: ErrorGroups) -> None:
    """Bodies of one error are stored as what differs from its first one."""
    for number in range(40):
        refuse(number, user=f"user-{random.random()}")
    key = key_of(groups)

    body = len(str(groups.occurrences(key)[0].record))
    totals = groups.totals()
    assert 40 == totals.stored
    assert totals.stored_bytes / 40 < body / 3


def test_no_more_than_the_cap(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the cap the largest groups store less; first and latest stay, counts stay exact."""
    monkeypatch.setattr(tables, "MAX_STORED_BYTES", 20_000)
    for number in range(300):
        refuse(number)
        log.error("stock is negative", number=number)
        if number % 10 == 9:
            groups.write_down()
    groups.keep_within_limits()

    totals = groups.totals()
    assert totals.stored_bytes <= 20_000
    for group in groups.groups():
        found = [o.facts for o in groups.occurrences(group.fingerprint, limit=200)]
        numbers = [facts.get("order", facts.get("number")) for facts in found]
        assert (300, 299, 0) == (group.count, numbers[0], numbers[-1])
        assert len(numbers) == group.stored


def test_a_deleted_group_leaves_nothing(
    groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What belongs to a group goes with it, at most a thousand rows at a time."""
    for number in range(60):
        refuse(number, user=f"user-{number}")
    groups.write_down()
    monkeypatch.setattr(tables, "DELETE_ROWS", 25)
    groups._store.write("DELETE FROM error_groups")
    left = []
    for _ in range(9):
        groups.keep_within_limits()
        left.append(groups._store.query("SELECT count(*) FROM error_occurrences")[0][0])

    assert 35 <= left[1] < 60
    for table in ("occurrences", "users", "hours", "minutes", "group_details"):
        assert 0 == groups._store.query(f"SELECT count(*) FROM error_{table}")[0][0]


def test_a_huge_one_is_cut(groups: ErrorGroups) -> None:
    """Megabytes of facts are not stored; the traceback is, and the page is told."""
    try:
        raise ValueError("x" * 5000)
    except ValueError:
        log.exception("payment failed", **{f"fact_{n}": "y" * 9000 for n in range(30)})

    (only,) = groups.occurrences(key_of(groups))
    assert only.truncated
    assert "payment failed" == only.message
    assert "refuse" not in only.traceback[1]
    assert "test_a_huge_one_is_cut" in "".join(only.traceback)


def test_damaged_bodies(groups: ErrorGroups) -> None:
    """An occurrence that cannot be unpacked is left out; the group is there."""
    for number in range(3):
        refuse(number)
    key = key_of(groups)
    groups._store.write("UPDATE error_occurrences SET body = x'0199' WHERE id % 2 = 0")

    assert 2 == len(groups.occurrences(key))
    assert occurrence_rows.unpack(b"", None) is None
    groups._store.write("UPDATE error_occurrences SET body = x'00'")
    assert [] == groups.occurrences(key)
    assert groups.group(key) is not None
    refuse(9)
    assert 4 == groups.groups()[0].count


@pytest.mark.parametrize("size", [1, 200, 2_000, 9_000, 16_300, 33_000, 65_000])
def test_body_of_any_size_is_packed_by_its_first_one(size: int) -> None:
    """As far back as the first body begins: what both have is stored once."""
    chance = random.Random(size)
    first = bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=size))
    body = b"not as the first: " + first
    packed = occurrence_rows.pack(body, first)

    assert body == occurrence_rows.unpack(packed, first)
    within_reach = len(first) + len(body) <= 32_000  # zlib looks no farther back
    assert not within_reach or len(packed) < 64 + size // 50


def test_whole_story_of_a_request(tmp_path: Path, room: Callable[..., Room]) -> None:
    """An unhandled error in Flask has request, user, breadcrumbs, chain, own frames and source."""
    app = Flask("shop")
    telemetry = setup_telemetry(
        app, log_dir=str(tmp_path), resource_attributes="service.version=3.1"
    )

    secret = "token=" + "abcdefgh" * 3

    @app.get("/orders/<int:number>")
    def order(number: int) -> str:
        telemetry.set_user("anna")
        app.logger.warning("cart %s is old", number)
        try:
            return {"a": "b"}[str(number)]
        except KeyError as error:
            raise LookupError("no order `7` | " + secret) from error

    app.test_client().get("/orders/7?q=1")
    (only,) = telemetry.errors.occurrences(telemetry.errors.groups()[0].fingerprint)

    assert ("anna", "3.1", "LookupError") == (only.user, only.version, only.type)
    assert {"http.request.method": "GET", "url.path": "/orders/7"} == only.request
    assert ["cart 7 is old"] == [crumb.message for crumb in only.breadcrumbs]
    first, last = only.raised
    assert ("cause", "") == (first.leads_as, last.leads_as)
    assert first.text.startswith("KeyError")
    own = [frame for frame in last.frames if frame.own]
    assert ["order"] == [frame.function for frame in own]
    assert any("flask" in frame.file for frame in last.frames if not frame.own)
    failing = [line.text for line in own[-1].source() if line.failing]
    assert own[-1].code == failing[0].strip()
    assert not own[-1].changed_since(time.time())

    text = telemetry.errors.as_markdown(only)
    for part in ("# LookupError", "cart 7 is old", "anna", "3.1", own[-1].code, only.request_id):
        assert part in text
    assert "abcdefghabcdefgh" not in text
    telemetry.shutdown()


def test_store_that_cannot_be_read(tmp_path: Path, room: Callable[..., Room]) -> None:
    """Locked: nothing after a moment, with the reason. Corrupt or absent: empty, and it goes on."""
    room(log_console=False, log_files=False)
    groups = ErrorGroups(Store(tmp_path / "state"))
    assert [] == groups.groups()
    assert "" == groups.problem
    holder = Store(tmp_path / "state")
    with holder.transaction() as db:
        db.execute("CREATE TABLE held (n)")
        assert [] == groups.groups()
    # a reader is let in while another process only has the write lock
    with holder.transaction() as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
    with holder.transaction() as db:
        db.execute("INSERT INTO held VALUES (1)")
        assert [] == groups.groups()
    assert "locked" in groups.problem
    assert "locked" in groups.totals().problem
    holder.stop(time.monotonic() + 1)
    (tmp_path / "state" / "store.sqlite").write_bytes(b"no database at all" * 500)
    assert [] == groups.groups()
    assert {"open": 0, "resolved": 0, "ignored": 0, "regressed": 0} == groups.count_groups()
    assert "" == groups.problem


def test_one_bad_record(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose details cannot be made is counted, and so are all others."""

    def broken(record: object, version: str) -> bytes:
        raise RuntimeError("no body")

    monkeypatch.setattr(occurrence_rows, "body_of", broken)
    refuse(1)
    assert groups.write_down()
    monkeypatch.undo()
    refuse(2)

    (group,) = groups.groups()
    assert 2 == group.count
    assert [False, True] == [o.truncated for o in groups.occurrences(group.fingerprint)]
