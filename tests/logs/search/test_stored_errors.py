"""Stored errors in a search of the log: those whose line is in no file, each of them once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.errors.groups import ErrorGroups
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record import builder
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.search import stored_errors
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.logs.search.results import ERRORS, FILE, LogLine
from proletto_otel.logs.search.search import LogSearch
from proletto_otel.state.store import Store
from tests.logs.search.conftest import Log

shop = get_logger("shop")
pay = get_logger("shop.pay")


@pytest.fixture
def stored(
    log: Callable[..., Log], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Log]]:
    """A log whose errors are stored, too: `stored(log_json_max_bytes=20_000)`."""
    # what was logged just now is settled
    monkeypatch.setattr(stored_errors, "SETTLED_S", -1.0)
    groups = ErrorGroups(Store(tmp_path / "store"))

    def count(record: Record) -> None:
        groups.count(record)
        groups.write_down()  # of a storm between two writes only the latest fifty are stored

    def make(**settings: object) -> Log:
        made = log(**settings)
        pipeline.listen(count, logs=False)
        return Log(made.room, LogSearch(made.search.path, errors=groups, clock=lambda: 0.0))

    yield make
    pipeline.unlisten(count)
    groups._store.stop(0)


def fail(number: int) -> str:
    """A request with an ordinary line and an error; its ID."""
    context = RequestContext(f"{number:032x}", f"f{number:031x}", "b" * 16)
    context.user_id = f"u{number % 3}"
    token = enter(context)
    shop.info("cart loaded", items=number)
    where = pay if number % 2 else shop
    try:
        raise ValueError(f"card {number} refused")
    except ValueError:
        where.exception("payment failed %s" % ("twice" if number % 5 else "once"), component="pay")
    leave(token)
    return context.request_id


def everything(search: LogSearch, query: LogQuery | None = None, limit: int = 7) -> list[LogLine]:
    """All pages."""
    found: list[LogLine] = []
    cursor, calls = None, 0
    while calls == 0 or cursor is not None:
        page = search.search(query, cursor=cursor, limit=limit)
        assert not page.gone
        cursor, calls = page.cursor, calls + 1
        found += page.lines
        assert calls < 1000
    return found


def without_files(made: Log) -> None:
    """Rotate everything away."""
    for name in made.files:
        (made.room.directory / name).unlink()


def test_rotated_away_and_found(stored: Callable[..., Log]) -> None:
    """Errors whose lines are gone follow those that have theirs, each once, the newest first."""
    made = stored(log_json_max_bytes=8_000, log_backups=2)
    ids = [fail(number) for number in range(90)]
    found = everything(made.search, LogQuery(level="ERROR"))

    assert ids[::-1] == [line.request_id for line in found]
    sources = [line.source for line in found]
    assert {FILE, ERRORS} == set(sources)
    assert sorted(sources, reverse=True) == sources  # those in files are newer
    last = found[-1]
    assert (last.group, last.type) == (last.fingerprint, "ValueError")
    assert last.occurrence


QUERIES = (
    LogQuery(level="ERROR"), LogQuery(level="CRITICAL"), LogQuery(logger="shop.pay"),
    LogQuery(logger="shop", level="ERROR"), LogQuery(user="u1", level="ERROR"),
    LogQuery(component="pay"), LogQuery(text="CARD 1"), LogQuery(text="twice"),
    LogQuery(text="cart loaded"), LogQuery(text="b" * 16), LogQuery(pattern=r"card \d+ ref.*d$"),
    LogQuery(identifier=f"{7:032x}"), LogQuery(request_id=f"{8:032x}", level="ERROR"),
    LogQuery(trace_id=f"f{9:031x}", text="failed"), LogQuery(request_id="nobody"),
)  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_the_same_filters(stored: Callable[..., Log], query: LogQuery) -> None:
    """What is found of errors without their lines is what was found of the lines."""
    made = stored()
    for number in range(40):
        fail(number)
    before = [line for line in everything(made.search, query) if line.level == "ERROR"]
    between = replace(query, since=before[-1].at, until=before[0].at) if before else query
    assert {FILE} >= {line.source for line in before}
    without_files(made)
    after = everything(made.search, query)

    assert [line.record for line in before] == [line.record for line in after]
    assert {ERRORS} >= {line.source for line in after}
    assert after == everything(made.search, between)
    if len(after) > 2:
        middle = after[len(after) // 2].at
        younger = everything(made.search, replace(query, since=middle))
        older = everything(made.search, replace(query, until=middle - 0.001))
        assert after == younger + older


def test_by_fingerprint(stored: Callable[..., Log]) -> None:
    """A group's errors by its fingerprint, in pages of any size."""
    made = stored()
    ids = [fail(number) for number in range(40)]
    (line,) = everything(made.search, LogQuery(request_id=ids[3], level="ERROR"))
    without_files(made)
    for limit in (1, 3, 1000):
        found = everything(made.search, LogQuery(fingerprint=line.fingerprint), limit)
        assert {line.fingerprint} == {each.group for each in found}
        assert len(found) == len({each.request_id for each in found})
        assert ids[3] in {each.request_id for each in found}


@pytest.mark.parametrize("limit", [1, 2, 5, 40])
def test_mixed_lines_are_shown_once(stored: Callable[..., Log], limit: int) -> None:
    """Workers write late: lines stand in the file in another order, and some are missing."""
    made = stored()
    ids = [fail(number) for number in range(40)]
    path = made.search.path
    assert path is not None
    lines = path.read_bytes().splitlines(keepends=True)
    chance = random.Random(limit)
    mixed = sorted(range(len(lines)), key=lambda i: i + chance.uniform(0, 9))
    gone = {f"{number:032x}".encode() for number in range(3, 40, 9)}
    written = [lines[i] for i in mixed if not any(each in lines[i] for each in gone)]
    path.write_bytes(b"".join(written))
    found = everything(made.search, LogQuery(level="ERROR"), limit)

    assert sorted(ids) == sorted(line.request_id for line in found)
    assert {i.decode() for i in gone} == {x.request_id for x in found if x.source == ERRORS}
    plain = everything(made.search, None, limit)
    assert len(written) + len(gone) == len(plain)


def test_without_time_each_call_gets_further(
    stored: Callable[..., Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget that is over at once ends in many pages, not in none and not in doubles."""
    made = stored(log_json_max_bytes=8_000, log_backups=2)
    ids = [fail(number) for number in range(90)]
    monkeypatch.setattr("proletto_otel.errors.occurrence_search.CHUNK", 4)
    monkeypatch.setattr(stored_errors, "BUDGET_S", 0.0)
    ticks = iter(range(10**9))
    made.search._clock = lambda: float(next(ticks))
    found = everything(made.search, LogQuery(text="refused"))

    assert sorted(ids) == sorted(line.request_id for line in found)


def test_no_files_and_no_store(stored: Callable[..., Log], tmp_path: Path) -> None:
    """Without files errors are found, and why there are no lines; without both it says so."""
    made = stored()
    fail(1)
    without_files(made)
    page = made.search.search()
    assert [ERRORS] == [line.source for line in page.lines]
    assert "no line was written yet" in page.problem
    broken = ErrorGroups(Store(tmp_path / "store"))
    with broken._store.transaction() as db:
        db.execute("DROP TABLE error_occurrences")
    broken._store.select = lambda sql, values=(): _raise()  # type: ignore[method-assign]
    page = LogSearch(None, "switched off", errors=broken).search()
    assert ((), "switched off") == (page.lines, page.problem)
    assert ("stored errors could not be read now",) == page.notes


def _raise() -> list[object]:
    from proletto_otel.state.store import StoreUnavailable

    raise StoreUnavailable("gone")


def test_fresh_errors_wait_for_their_line(
    stored: Callable[..., Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of this moment is counted before its line is written: it is not shown as lost."""
    made = stored()
    fail(1)
    monkeypatch.setattr(stored_errors, "SETTLED_S", 60.0)
    path = made.search.path
    assert path is not None
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])

    assert [FILE] == [line.source for line in everything(made.search)]


def test_large_errors_are_known_again(stored: Callable[..., Log]) -> None:
    """One that was too large to be stored whole is found, and is no double of its line."""
    made = stored()
    token = enter(RequestContext("a" * 32, "b" * 32, "c" * 16))
    shop.error("too much", body="x" * 200_000)
    leave(token)
    (line,) = everything(made.search, LogQuery(level="ERROR"))
    without_files(made)
    (error,) = everything(made.search, LogQuery(level="ERROR", request_id="a" * 32))

    assert (FILE, ERRORS) == (line.source, error.source)
    assert (line.at, line.message) == (error.at, error.message)


@pytest.mark.parametrize("rotated", ["away", "to other files"])
def test_errors_of_one_millisecond_are_shown_once_without_time(
    stored: Callable[..., Log], monkeypatch: pytest.MonkeyPatch, rotated: str
) -> None:
    """A page whose time is over ends between two milliseconds; those that follow get further.

    The line of an error is found in whichever file it is.
    """
    made = stored(log_json_max_bytes=3_000, log_backups=30)
    began = time.time_ns()
    numbers = iter(range(10**6))
    monkeypatch.setattr(builder, "_time_ns", lambda: began + next(numbers) // 6 * 1_000_000)
    ids = [fail(number) for number in range(30)]
    if rotated == "away":
        without_files(made)
    ticks = iter(range(10**9))
    monkeypatch.setattr(stored_errors, "BUDGET_S", 0.0)
    made.search._clock = lambda: float(next(ticks))
    found = everything(made.search, LogQuery(level="ERROR"), limit=2)

    assert sorted(ids) == sorted(line.request_id for line in found)
    assert len({line.at for line in found}) < len(ids)


@pytest.mark.parametrize("seed", range(8))
def test_any_log_shows_each_once(
    stored: Callable[..., Log], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Rotated, mixed, with lines missing, any page size, without time: no double, no loss."""
    chance = random.Random(seed)
    size, backups = chance.choice((3_000, 20_000, 10**6)), chance.choice((1, 3, 30))
    made = stored(log_json_max_bytes=size, log_backups=backups)
    ids = [fail(number) for number in range(45)]
    path = made.search.path
    assert path is not None
    lines = path.read_bytes().splitlines(keepends=True)
    far, missing = chance.choice((0, 5, 30)), chance.choice((0, 0.1, 0.5))
    mixed = sorted(range(len(lines)), key=lambda i: i + chance.uniform(0, far))
    path.write_bytes(b"".join(lines[i] for i in mixed if chance.random() >= missing))
    monkeypatch.setattr("proletto_otel.errors.occurrence_search.CHUNK", (1, 50, 3)[seed % 3])
    if seed % 2 == 0:
        ticks = iter(range(10**9))
        monkeypatch.setattr(stored_errors, "BUDGET_S", 0.0)
        made.search._clock = lambda: float(next(ticks))
    for query in (LogQuery(level="ERROR"), LogQuery(text="refused"), LogQuery(component="pay")):
        found = everything(made.search, query, chance.choice((1, 2, 7, 100)))
        assert sorted(ids) == sorted(line.request_id for line in found)
