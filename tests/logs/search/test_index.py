"""The block index: made in bounded steps, true for what it covers, made anew when damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core.context import background
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.search import indexer, search
from proletto_otel.logs.search.block_index import MAGIC, BlockIndex
from proletto_otel.logs.search.blocks import BLOCK
from proletto_otel.logs.search.query import LogQuery
from proletto_otel.state.viewing import Viewing
from tests.logs.search.conftest import Log
from tests.logs.search.test_search import serve

shop = get_logger("shop")


@pytest.fixture
def indexed(log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch) -> Log:
    """A log of several rotated files of some blocks each, indexed."""
    monkeypatch.setattr(indexer, "STEP_BLOCKS", 2)
    monkeypatch.setattr(indexer, "QUIET_S", -1.0)
    made = log(log_json_max_bytes=600_000, log_backups=20)
    for number in range(3500):
        serve(number)
    with background(request_id='odd "id"'):
        shop.critical("it broke")
    while made.search.index_some():
        pass
    return made


def stored(log: Log) -> list[Path]:
    """The files of the indexes."""
    return sorted((log.room.directory / "state" / "log_index").glob("*.index"))


def test_an_index_for_each_file(indexed: Log) -> None:
    """Every file has one, small and private; a step makes at most two blocks here."""
    assert len(indexed.files) - len(stored(indexed)) in (0, 1)  # the active one has few blocks yet
    assert len(stored(indexed)) > 3
    assert {0o600} == {path.stat().st_mode & 0o777 for path in stored(indexed)}
    assert not indexed.search.index_some()


def test_it_comes_to_an_end(log: Callable[..., Log], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many blocks the file that grows has, each block is indexed once."""
    monkeypatch.setattr(indexer, "STEP_BLOCKS", 2)
    monkeypatch.setattr(search, "STEPS", 1)
    monkeypatch.setattr(indexer, "QUIET_S", -1.0)
    made = log(log_json_max_bytes=1_000_000)
    number = 0
    while len(made.files) < 2 or structured_size(made) < 3.5 * BLOCK:
        serve(number)
        number += 1
    steps = 0
    while made.search.index_some():
        steps += 1
        assert steps < 10
    assert 2 == len(stored(made))
    assert 3 <= steps


def structured_size(log: Log) -> int:
    """Bytes of the file that grows."""
    assert log.search.path is not None
    return log.search.path.stat().st_size


def test_less_is_read(indexed: Log) -> None:
    """A request is found in one or two blocks; what is not there in none but the newest."""
    for number in (0, 17, 2000, 3499):
        page = indexed.search.of_request(f"{number:032x}", budget_s=2)
        assert ["cart loaded", "card slow"] == [line.message for line in page.lines]
        assert page.searched_bytes < 1_200_000
        assert page.complete
    absent = indexed.search.search(LogQuery(request_id="e" * 32))
    assert absent.complete
    assert absent.searched_bytes < 600_000
    assert 1 == len(indexed.search.search(LogQuery(level="CRITICAL")).lines)
    assert 1 == len(indexed.search.of_request('odd "id"', budget_s=2).lines)


def test_index_and_none_agree(indexed: Log) -> None:
    """With and without index the same lines are found."""
    queries = [
        LogQuery(trace_id=f"f{99:031x}"),
        LogQuery(level="WARNING", user="nobody"),
        LogQuery(identifier=f"{3000:032x}", level="WARNING"),
        LogQuery(request_id=f"{5:032x}", fingerprint="a" * 16),
    ]
    with_index = [indexed.search.search(query, budget_s=2).lines for query in queries]
    for path in stored(indexed):
        path.unlink()

    assert with_index == [indexed.search.search(query, budget_s=2).lines for query in queries]


@pytest.mark.parametrize("damage", [b"", b"no index", MAGIC, MAGIC + bytes(500)])
def test_a_damaged_index_is_made_anew(indexed: Log, damage: bytes) -> None:
    """A damaged index is not believed and soon replaced."""
    for path in stored(indexed):
        path.write_bytes(damage)
    assert 2 == len(indexed.search.of_request(f"{17:032x}", budget_s=2).lines)
    while indexed.search.index_some():
        pass
    for path in stored(indexed):
        assert BlockIndex.load(path.read_bytes()) is not None


def test_every_flipped_byte_is_noticed(indexed: Log) -> None:
    """The checksum covers all of it."""
    whole = stored(indexed)[0].read_bytes()
    assert BlockIndex.load(whole) is not None
    for at in range(0, len(whole), 97):
        assert BlockIndex.load(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]) is None
        assert BlockIndex.load(whole[:at]) is None


def test_indexes_of_deleted_files_go(log: Callable[..., Log], indexed: Log) -> None:
    """With a file its index goes, and what a killed process left."""
    for path in indexed.room.directory.glob("*_structured.json.[2-9]*"):
        path.unlink()
    left = stored(indexed)[0].with_suffix(".77.tmp")
    left.write_bytes(b"x")
    indexed.search.index_some()

    assert len(stored(indexed)) <= len(indexed.files) == 2
    assert not left.exists()


def test_level_counts(indexed: Log) -> None:
    """The strip above the log adds up to the lines there are, with index and without."""
    first = indexed.search.search(LogQuery(text="cart loaded"), limit=1).lines[0]
    oldest, cursor = first.at, None
    counted = {"INFO": 0, "WARNING": 0}
    for level in counted:
        while True:
            page = indexed.search.search(LogQuery(level=level), cursor=cursor, limit=1000)
            counted[level] += sum(line.level == level for line in page.lines)
            oldest = min([oldest, *(line.at for line in page.lines)])
            cursor = page.cursor
            if cursor is None:
                break

    for _ in range(2):
        strip = indexed.search.level_counts(oldest, first.at + 60, bars=30, budget_s=2)
        assert (30, None, "") == (len(strip.counts["INFO"]), strip.counted_back_to, strip.problem)
        assert counted == {level: sum(strip.counts[level]) for level in counted}
        assert 1 == sum(strip.counts["CRITICAL"])
        for path in stored(indexed):
            path.unlink()
    later = indexed.search.level_counts(first.at + 3600, first.at + 7200)
    assert 0 == sum(map(sum, later.counts.values()))


def test_a_search_is_noted(log: Callable[..., Log]) -> None:
    """The leader indexes while somebody searches, in whichever worker."""
    made = log()
    state = made.room.directory / "state"
    state.mkdir(parents=True, exist_ok=True)
    viewing = Viewing(state)
    shop.info("event")
    assert not viewing.lately()

    made.search.search()

    assert viewing.lately()
