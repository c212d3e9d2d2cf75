"""The prepared overview: made by the leader, the same in every worker, with its age."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proletto_otel.core import internal_errors
from proletto_otel.monitoring import overview
from proletto_otel.request.request_history import RequestHistory
from proletto_otel.request.request_totals import RequestTotals
from proletto_otel.state.worker_lives import WorkerLives
from tests.monitoring.bound import Bound


@pytest.fixture
def other(bound: Bound) -> Iterator[Bound]:
    """Another worker of the host with the same registrations."""
    made = Bound(bound.directory)
    yield made
    made.close()


def serve(bound: Bound, n: int, failed: int) -> None:
    """Let the leader store requests of now."""
    totals = RequestTotals(
        classes=[0, 0, n - failed, 0, 0, failed], errors=failed, timed=n, seconds=n / 10,
        durations={"90": n}, start_ns=time.time_ns(),
    )  # fmt: skip
    RequestHistory(bound.store).record({("GET", "/item"): totals})


def test_every_worker_shows_what_the_leader_prepared(bound: Bound, other: Bound) -> None:
    """One row, one content: figures, alerts, checks, workers."""
    for each in (bound, other):
        each.monitor.register_health_check("stock", lambda: False)
        each.monitor.register_threshold("cpu_percent", warning_threshold=10)
    serve(bound, 100, failed=7)
    WorkerLives(bound.store).record(
        [{"pid": 7, "host": "h", "version": "1.0", "started": time.time()}]
    )
    for _ in range(2):
        bound.tick()
    other.tick()

    found, same = bound.monitor.overview(), other.monitor.overview()

    assert found == same
    assert found.hour is not None
    assert (100, 7) == (found.hour.count, found.hour.errors)
    assert {"cpu_percent"} <= {a.name for a in found.alerts}
    assert ["stock"] == [c.name for c in found.checks]
    assert [(7, "1.0")] == [(w.pid, w.version) for w in found.workers]
    assert "1.0" == found.version
    assert found.deploy is not None
    assert 0 <= found.age_s < 60
    assert ("", 12.5) == (found.reason, found.system[0].value)


def test_the_tag_changes_with_the_content_alone(bound: Bound) -> None:
    """A poll that finds the same tag need not read on."""
    bound.viewing.note()
    bound.tick()
    tag = bound.monitor.overview_etag()

    assert tag == bound.monitor.overview_etag() == bound.monitor.overview().etag != ""
    bound.tick()
    assert tag != bound.monitor.overview_etag()


def test_it_is_prepared_while_somebody_looks(bound: Bound, other: Bound) -> None:
    """Nobody looks: it costs nothing. The first look makes it; from then on the leader does."""
    bound.store.define(*overview.DDL)  # as a worker that was asked has it
    for _ in range(2):
        bound.tick()
        other.tick()
    assert [] == bound.store.query("SELECT id FROM overviews")

    first = other.monitor.overview()

    assert "" == first.reason
    assert 1 == first.generation
    bound.tick()
    assert 2 == other.monitor.overview().generation
    other.tick()  # it does not lead
    assert 2 == bound.monitor.overview().generation


def test_it_follows_what_is_recorded(bound: Bound) -> None:
    """Requests were recorded: it is prepared at the next look, not when its time has come."""
    bound.viewing.note()
    bound.tick()
    bound.tick()
    jobs = bound.ticker._jobs
    before = bound.monitor.overview()
    jobs["overview.follow"].function()
    assert before.generation == bound.monitor.overview().generation

    serve(bound, 100, failed=7)
    jobs["overview.follow"].function()
    jobs["overview.follow"].function()
    jobs["overview.prepare"].function()  # it was prepared just before

    found = bound.monitor.overview()
    assert before.generation + 1 == found.generation
    assert (False, True) == (before.failing, found.failing)


def test_the_verdict_is_what_people_must_see_at_once(bound: Bound, other: Bound) -> None:
    """It changes with the colour of the page, in every worker, and with nothing else."""
    bound.viewing.note()
    serve(bound, 1000, failed=9)
    for _ in range(2):
        bound.tick()
    other.tick()
    mark = other.monitor.overview_mark()
    assert mark.verdict == bound.monitor.overview().verdict
    assert bound.monitor.overview().seen == f"{mark.verdict}.{int(1000 * mark.prepared_at)}."
    assert not bound.monitor.overview().failing

    RequestHistory(bound.store).record(
        {("GET", "/item"): RequestTotals(
            classes=[0, 0, 2000, 0, 0, 9], errors=9, timed=2009, seconds=9, durations={"90": 2009},
            start_ns=time.time_ns(),
        )}
    )  # fmt: skip
    bound.tick()
    assert mark.verdict == other.monitor.overview_mark().verdict
    serve_more = RequestTotals(
        classes=[0, 0, 2000, 0, 0, 99], errors=99, timed=2099, seconds=9, durations={"90": 2099},
        start_ns=time.time_ns(),
    )  # fmt: skip
    RequestHistory(bound.store).record({("GET", "/item"): serve_more})
    bound.tick()
    assert mark.verdict != other.monitor.overview_mark().verdict
    assert other.monitor.overview().failing


def test_what_an_earlier_release_prepared_has_no_verdict(bound: Bound) -> None:
    """A poll then reads the overview itself."""
    bound.viewing.note()
    bound.tick()
    bound.store.write("UPDATE overviews SET at = at + 1")

    mark = bound.monitor.overview_mark()

    assert ("", True) == (mark.verdict, mark.etag != "")


def test_an_old_one_is_made_anew(
    bound: Bound, other: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes back after a while sees the present, in whichever worker; and so a stuck
    leader does no harm."""
    for each in (bound, other):
        each.tick()
        each.tick()
    before = bound.monitor.overview()
    monkeypatch.setattr(overview, "time", Later(60.0))

    assert before.prepared_at < other.monitor.overview().prepared_at


class Later:
    """The time, so many seconds later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time(self) -> float:
        """Unix seconds."""
        return time.time() + self._seconds


def test_before_anything_is_prepared_it_says_so(bound: Bound) -> None:
    """An empty page with a reason, not a wrong one."""
    found = bound.monitor.overview()

    assert ("nothing is prepared yet", 0.0, ()) == (found.reason, found.age_s, found.workers)
    assert "" == bound.monitor.overview_etag()


def test_an_unusable_store_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a directory is in the store's place, pages are of this process alone and say why."""
    monkeypatch.setattr(internal_errors, "strict", False)
    (tmp_path / "store.sqlite").mkdir()
    bound = Bound(tmp_path)
    try:
        bound.tick()
        found = bound.monitor.overview()
        assert "" != found.reason
        assert () == bound.monitor.annotations(0)
        assert [] == [p for p in bound.monitor.request_series(0) if p.count]
    finally:
        bound.close()


def test_a_corrupt_store_begins_anew(bound: Bound, monkeypatch: pytest.MonkeyPatch) -> None:
    """The damaged file is set aside; the next tick prepares again."""
    monkeypatch.setattr(internal_errors, "strict", False)
    bound.tick()
    assert "" == bound.monitor.overview().reason
    (bound.directory / "store.sqlite").write_bytes(b"no database" * 1000)
    for _ in range(2):
        bound.tick()

    assert "" == bound.monitor.overview().reason
    assert 0 < bound.monitor.overview().prepared_at


def test_what_another_release_wrote_is_no_error(
    bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During a rolling update a worker may find a document that it does not know."""
    monkeypatch.setattr(internal_errors, "strict", False)
    bound.tick()
    bound.monitor.overview()
    bound.store.write("UPDATE overviews SET body = '{\"new\": 1}'")

    found = bound.monitor.overview()

    assert ("", 2) == (found.reason, found.generation)  # made anew
    assert time.time() - 60 < found.prepared_at
