"""The past of the requests equals what was answered, come what may to workers and leaders."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.workers import Key, Server, Traffic, serving
from tests.waiting import PATIENCE_S, until

RECYCLING = ("--max-requests", "120", "--max-requests-jitter", "30")
CLASSES = {"200": "c2", "503": "c5"}


def stored(server: Server, tier: int) -> Counter[Key]:
    """Requests by route and status, as the store has them in the buckets of one length."""
    found: Counter[Key] = Counter()
    (path,) = server.directory.glob("logs/.state/*/store.sqlite")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE_S) as db:
        for status, column in CLASSES.items():
            rows = db.execute(
                f"SELECT r.route, sum(p.{column}) FROM request_points p JOIN request_routes r"
                " ON r.id = p.route WHERE p.tier = ? AND r.route LIKE '/r%' GROUP BY r.route",
                (tier,),
            )
            found.update({(route, status): n for route, n in rows if n})
    db.close()
    return found


def codes(server: Server, tier: int) -> Counter[Key]:
    """The same by exact status code."""
    from proletto_otel.request.status_codes import unpacked

    found: Counter[Key] = Counter()
    (path,) = server.directory.glob("logs/.state/*/store.sqlite")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE_S) as db:
        rows = db.execute(
            "SELECT r.route, p.codes FROM request_codes p JOIN request_routes r ON r.id = p.route"
            " WHERE p.tier = ? AND r.route LIKE '/r%'",
            (tier,),
        ).fetchall()
    db.close()
    for route, packed in rows:
        found.update({(route, str(code)): n for code, n in unpacked(packed).items()})
    return found


def durations(server: Server) -> int:
    """Requests whose duration is stored, all routes together."""
    from proletto_otel.request.durations import unpacked

    (path,) = server.directory.glob("logs/.state/*/store.sqlite")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE_S) as db:
        rows = db.execute(
            "SELECT p.durations FROM request_points p JOIN request_routes r ON r.id = p.route"
            " WHERE p.tier = 60 AND r.route LIKE '/r%'"
        ).fetchall()
    db.close()
    return sum(sum(unpacked(data).values()) for (data,) in rows)


def exact(found: Counter[Key], traffic: Traffic) -> bool:
    """Whether each number is what was answered, give or take what a dead worker had in flight."""
    keys = found.keys() | traffic.answered.keys() | traffic.broken.keys()
    lost = traffic.broken
    return all(traffic.answered[k] <= found[k] <= traffic.answered[k] + lost[k] for k in keys)


@pytest.mark.parametrize("options", [(), ("--preload",), ("-k", "gthread", "--threads", "4")])
def test_every_request_is_in_every_tier(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Four workers, each replaced several times, the leader among them: not one lost or twice."""
    with serving(tmp_path, "-w", "4", *RECYCLING, *options) as server:
        first = set(server.pids())
        traffic = Traffic(server, 1200)
        traffic.wait()

        for tier in (60, 900, 10_800):
            until(lambda tier=tier: exact(stored(server, tier), traffic))
            until(lambda tier=tier: codes(server, tier) == stored(server, tier))
        until(lambda: durations(server) >= traffic.answered.total())
        assert durations(server) <= traffic.sent
        assert not first & set(server.pids())


def test_killed_leaders_lose_no_request(tmp_path: Path) -> None:
    """Every worker is killed in turn, so every leader, too: what was answered is stored, once."""
    with serving(tmp_path, "-w", "4") as server:
        traffic = Traffic(server, 1200)
        for share in (200, 400, 600, 800):
            until(lambda share=share: traffic.sent > share)
            os.kill(server.pids()[0], signal.SIGKILL)
        traffic.wait()

        for tier in (60, 900, 10_800):
            until(lambda tier=tier: exact(stored(server, tier), traffic))
            until(lambda tier=tier: codes(server, tier) == stored(server, tier))


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    """The service is stopped and started: the requests before and after add up."""
    answered: Counter[Key] = Counter()
    for _ in range(3):
        with serving(tmp_path, "-w", "4") as server:
            traffic = Traffic(server, 300)
            traffic.wait()
            answered += traffic.answered
    with serving(tmp_path, "-w", "2") as server:
        until(lambda: stored(server, 60) == answered)
        until(lambda: stored(server, 10_800) == answered)
        assert codes(server, 60) == answered
