"""Error groups: each error once, its count exact, decisions stored with who and when."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.metrics.registry import registry
from proletto_otel.errors import group_rows, tables
from proletto_otel.errors import groups as error_groups
from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record.call_site import CodeLocation
from proletto_otel.setup import components
from proletto_otel.state.store import Store
from tests.corpus import secrets
from tests.waiting import PATIENCE_S

log = get_logger("shop")


def fail(message: str = "card refused") -> None:
    """Log an error with an exception."""
    try:
        raise ValueError(message)
    except ValueError:
        log.exception("payment failed", component="pay")


def other() -> None:
    """Log another error."""
    log.error("stock is negative", sku=7)


def test_one_group_per_error(groups: ErrorGroups) -> None:
    """The same error with other texts is one group; another error is another group."""
    for i in range(5):
        fail(f"card {i} refused")
    other()

    latest, first = groups.groups()
    assert ("", "stock is negative", 1) == (latest.type, latest.message, latest.count)
    assert ("ValueError", "card 4 refused", 5) == (first.type, first.message, first.count)
    assert first.location.endswith("test_groups.py:fail")
    assert ("open", "pay", "ERROR") == (first.status, first.component, first.level)
    assert first.first_seen <= first.last_seen <= time.time()


def test_an_alert_is_no_place_in_the_code(groups: ErrorGroups, tmp_path: Path) -> None:
    """Its threshold is named; rows of the release before show nothing instead of a colon."""
    components.log_alert(40, "CpuHigh: 97 %", {"alert_name": "cpu_percent"})
    components.log_alert(40, "said by nobody", {})
    groups.write_down()
    assert {"threshold cpu_percent", ""} == {group.location for group in groups.groups()}
    Store(tmp_path / "state").write("UPDATE error_groups SET location = ':'")
    assert {""} == {group.location for group in groups.groups()}


def test_counts_add_up(groups: ErrorGroups) -> None:
    """Writing down in between neither loses nor repeats a count."""
    for _ in range(3):
        fail()
        assert groups.write_down()
        fail()

    assert [6] == [group.count for group in groups.groups()]


def test_threads_lose_no_count(groups: ErrorGroups) -> None:
    """Errors of many threads are all counted, while another writes them down."""
    threads = [threading.Thread(target=lambda: [other() for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        groups.groups()

    assert [2000] == [group.count for group in groups.groups()]


def test_two_writers_count_once(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page and the ticker may write down at the same time; nothing is added twice."""
    add = ErrorGroups._add
    second = threading.Thread(target=groups.write_down)

    def add_while_another_looks(self: ErrorGroups, *arguments: Any) -> None:
        if second.ident is None:
            second.start()
            second.join(0.3)  # it looks at the same counts, if it may
        add(self, *arguments)

    monkeypatch.setattr(ErrorGroups, "_add", add_while_another_looks)
    fail()
    groups.write_down()
    second.join()

    assert [1] == [row["count"] for row in groups._store.query("SELECT count FROM error_groups")]


def test_sample(groups: ErrorGroups) -> None:
    """A group has the latest record: facts, traceback, request ID and breadcrumbs."""
    token = enter(RequestContext("req-1", "a" * 32, "b" * 16))
    log.info("cart loaded")
    fail()
    leave(token)

    group = groups.get(groups.groups()[0].fingerprint)
    assert group is not None
    assert group.sample is not None
    assert ("req-1", "a" * 32) == (group.request_id, group.trace_id)
    assert "payment failed" == group.sample[MESSAGE]
    assert "ValueError: card refused" == group.sample["exception"]["traceback"][-1]
    assert ["cart loaded"] == [crumb[MESSAGE] for crumb in group.sample["breadcrumbs"]]


def test_unknown_fingerprint(groups: ErrorGroups) -> None:
    """What does not exist is None, and cannot be decided about."""
    assert groups.get("0" * 16) is None
    assert not groups.resolve("0" * 16, "bob")


def test_groups_survive_a_restart(groups: ErrorGroups, tmp_path: Path) -> None:
    """Another process finds what this one counted, and goes on."""
    fail()
    groups.stop(time.monotonic() + 1)
    again = ErrorGroups(Store(tmp_path / "state"))
    pipeline.unlisten(groups.count)
    pipeline.listen(again.count)
    fail()

    assert [2] == [group.count for group in again.groups()]
    pipeline.unlisten(again.count)


def test_decisions_are_kept(groups: ErrorGroups) -> None:
    """Resolve, ignore and reopen are remembered with who and when."""
    fail()
    key = groups.groups()[0].fingerprint
    before = time.time()
    assert groups.resolve(key, "alice")
    assert groups.ignore(key, "bob\n<script>")
    assert groups.reopen(key, "carol")

    group = groups.get(key)
    assert group is not None
    assert ("open", "carol") == (group.status, group.changed_by)
    assert [("open", "carol"), ("ignored", "bob\\n<script>"), ("resolved", "alice")] == [
        (change.status, change.by) for change in group.changes
    ]
    assert before <= group.changes[-1].at <= time.time()


def test_recurrence_reopens(groups: ErrorGroups) -> None:
    """A resolved error that comes again is open; an ignored one stays ignored."""
    fail()
    other()
    second, first = (group.fingerprint for group in groups.groups())
    groups.resolve(first, "alice")
    groups.ignore(second, "alice")
    fail()
    other()

    assert {first: "open", second: "ignored"} == {
        group.fingerprint: group.status for group in groups.groups()
    }
    group = groups.get(first)
    assert group is not None
    assert "recurrence" == group.changed_by


def test_listing(groups: ErrorGroups) -> None:
    """Groups are filtered by status, text and time, and come in pages."""
    fail()
    other()
    keys = [group.fingerprint for group in groups.groups()]
    groups.ignore(keys[0], "bob")

    assert keys[1:] == [g.fingerprint for g in groups.groups(status="open")]
    assert keys[1:] == [g.fingerprint for g in groups.groups(search="card ref")]
    assert [] == groups.groups(search="100%_")
    assert [] == groups.groups(since=time.time() + 60)
    assert keys[1:] == [g.fingerprint for g in groups.groups(offset=1)]
    assert keys[:1] == [g.fingerprint for g in groups.groups(limit=-5)]
    assert keys[1:] == [g["fingerprint"] for g in groups.latest()]
    with pytest.raises(ConfigError, match="one of open, resolved, ignored"):
        groups.groups(status="closed")


def test_groups_are_bounded(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more groups than are stored, the quiet ones go."""
    monkeypatch.setattr(group_rows, "MAX_GROUPS", 20)
    for i in range(30):
        log.error("e" + "abcdefghij"[i % 10] + "klm"[i // 10])
        groups.write_down()

    found = groups.groups(limit=100)
    assert 20 == len(found)
    assert "ejm" == found[0].message


def test_forgotten_group_comes_back_without_its_past(
    groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error whose group went for room is a new one: nobody decided about it yet."""
    monkeypatch.setattr(group_rows, "MAX_GROUPS", 1)
    fail()
    fingerprint = groups.groups()[0].fingerprint
    assert groups.resolve(fingerprint, "ann")
    other()
    groups.write_down()
    assert groups.get(fingerprint) is None
    fail()

    again = groups.get(fingerprint)
    assert again is not None
    assert ("open", 1, ()) == (again.status, again.count, again.changes)


def test_waiting_errors_are_bounded(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ever new errors between two writes do not fill the memory; the rest is counted as lost."""
    monkeypatch.setattr(error_groups, "MAX_WAITING", 5)
    for name in "abcdefgh":
        log.error("failed " + name)

    assert 3 == groups.lost
    assert 5 == len(groups.groups())


def test_store_away(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store cannot be used counts wait, and added later."""
    from proletto_otel.state import store

    def locked(self: Store) -> None:
        raise store.StoreUnavailable("locked")

    fail()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_begin", locked)
        assert not groups.write_down()
    fail()

    assert [2] == [group.count for group in groups.groups()]


def test_metric(groups: ErrorGroups) -> None:
    """`proletto.errors` counts by level, component and exception type."""
    fail()
    fail()

    (family,) = [f for f in registry.collect() if f.name == "proletto.errors"]
    counted = {point.attributes: point.value for point in family.points if point.value}
    assert {
        (("level", "ERROR"), ("component", "pay"), ("exception.type", "ValueError")): 2
    } == counted


def test_no_canary_in_any_group(groups: ErrorGroups, tmp_path: Path) -> None:
    """Secrets do not reach the store's files."""
    canaries = secrets.canaries()
    for canary in canaries:
        try:
            raise ValueError(canary.text)
        except ValueError:
            log.exception(canary.text, body={"raw": canary.text}, component=canary.text)
        groups.write_down()
    groups.stop(time.monotonic() + 1)

    raw = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("store.sqlite*"))
    found = groups.occurrences(groups.groups(query="ValueError")[0].fingerprint, limit=200)
    bodies = [json.dumps(dict(o.record), ensure_ascii=False) for o in found]
    assert len(bodies) > 50
    raw += "\n".join((*bodies, *map(groups.as_markdown, found))).encode()
    assert b"ValueError" in raw
    assert [] == [c for c in canaries if c.secret.encode() in raw]


WORKER = """
import sys
from pathlib import Path
from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record.call_site import CodeLocation
from proletto_otel.state.store import Store

groups = ErrorGroups(Store(Path(sys.argv[1])))
pipeline.use([])
pipeline.listen(groups.count)
def work(n):
    get_logger("w").error("job %s failed", n)
for n in range(200):
    work(n)
    if n % 20 == 0:
        groups.write_down()
assert groups.write_down()
"""


def test_workers_share_groups(groups: ErrorGroups, tmp_path: Path) -> None:
    """The counts of all workers of a host add up."""
    command = [sys.executable, "-c", WORKER, str(tmp_path / "state")]
    workers = [subprocess.Popen(command) for _ in range(4)]

    assert [0] * 4 == [worker.wait(PATIENCE_S) for worker in workers]
    assert [800] == [group.count for group in groups.groups()]


def fail_at(at: float, message: str = "stock is negative") -> None:
    """Log an error that happened at a unix time."""
    code = CodeLocation.of(fail_at.__code__)
    pipeline.emit("shop", 40, message, {}, None, code, 1, time_ns=int(at * 1e9))


def test_regressed(groups: ErrorGroups) -> None:
    """A resolved error that comes again is regressed: open, told apart, and in its history."""
    fail()
    key = groups.groups()[0].fingerprint
    groups.resolve(key, by="anna")
    assert {"open": 0, "resolved": 1, "ignored": 0, "regressed": 0} == groups.count_groups()
    fail()

    group = groups.group(key)
    assert group is not None
    assert ("open", "regressed") == (group.status, group.state)
    assert ["regressed", "resolved"] == [change.state for change in group.changes]
    assert [key] == [g.fingerprint for g in groups.groups(state="regressed")]
    assert [key] == [g.fingerprint for g in groups.groups(state="open")]
    assert 1 == groups.count_groups(state="open")["regressed"]
    groups.reopen(key, by="bob")
    assert [] == groups.groups(state="regressed")
    assert "open" == groups.groups()[0].state


def test_new_since_a_deploy(groups: ErrorGroups, tmp_path: Path) -> None:
    """The version an error came with, and the one it was last seen in."""
    fail()
    groups.write_down()
    pipeline.unlisten(groups.count)
    deployed = ErrorGroups(Store(tmp_path / "state"), version="2.0")
    pipeline.listen(deployed.count)
    fail()
    other()

    found = {group.type: group for group in deployed.groups()}
    assert ("1.4.2", "2.0") == (found["ValueError"].first_version, found["ValueError"].last_version)
    assert ["2.0"] == [g.first_version for g in deployed.groups(first_version="2.0")]
    assert {"2.0", "1.4.2"} == {
        o.version for o in deployed.occurrences(found["ValueError"].fingerprint)
    }
    pipeline.unlisten(deployed.count)


def test_new_ones_are_counted(groups: ErrorGroups) -> None:
    """First seen since a time, whatever happened to older ones; ignored ones do not count."""
    now = time.time()
    fail_at(now - 7200)
    groups.write_down()
    fail_at(now)  # seen before the time that is asked for
    fail_at(now, "disk is slow")
    fail_at(now, "disk is full")

    assert 2 == groups.count_new(now - 3600)
    assert 3 == groups.count_new(now - 7300)
    groups.ignore(next(g.fingerprint for g in groups.groups(query="full")), by="anna")
    assert 1 == groups.count_new(now - 3600)


def test_trends_and_orders(groups: ErrorGroups) -> None:
    """24 bars by hour or by minute, from the rollups; orders by count, users, first and recent."""
    now = time.time()
    for hours in (0, 1, 1, 30):
        fail_at(now - hours * 3600)
        groups.write_down()
    for days in (3, 4, 5, 6, 7):
        fail_at(now - days * 86_400, "disk is slow")
        groups.write_down()
    day = {group.message: group for group in groups.groups()}

    # written in turn: a group is never older than its latest occurrence, so 30 h ago counts as now
    assert 4 == sum(day["stock is negative"].trend)
    assert 24 == len(day["stock is negative"].trend)
    assert 0 == sum(day["disk is slow"].trend)
    week = {group.message: group for group in groups.groups(trend_s=8 * 86_400)}
    assert (5, 8 * 3600.0) == (sum(week["disk is slow"].trend), week["disk is slow"].bar_s)
    hour = {group.message: group for group in groups.groups(trend_s=3600)}
    assert 180.0 == hour["stock is negative"].bar_s
    assert 4 == sum(hour["stock is negative"].trend)
    first = {order: groups.groups(sort=order)[0].message for order in ("count", "recent", "last")}
    assert {
        "count": "disk is slow", "recent": "stock is negative", "last": "stock is negative",
    } == first  # fmt: skip
    with pytest.raises(ConfigError, match="sort"):
        groups.groups(sort="random; DROP TABLE")
    assert 4 == sum(count for _, count in groups.per_minute())


def test_rollups_age(groups: ErrorGroups, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts by hour and minute go when they are old or too many; the group's count stays."""
    now = time.time()
    for days in range(120, 0, -10):
        fail_at(now - days * 86_400)
        groups.write_down()
    groups.keep_within_limits()
    rows = "SELECT count(*) FROM error_"
    assert 8 <= groups._store.query(f"{rows}hours")[0][0] <= 9
    assert 0 == groups._store.query(f"{rows}minutes")[0][0]
    monkeypatch.setattr(tables, "MAX_HOUR_ROWS", 3)
    groups.keep_within_limits()

    assert 3 == groups._store.query(f"{rows}hours")[0][0]
    assert 12 == groups.groups()[0].count
