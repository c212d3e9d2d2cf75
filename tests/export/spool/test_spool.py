"""What could not be delivered waits on disk: whole, private, bounded, shared, counted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.export.payload import GZIP, Payload
from proletto_otel.export.spool import files
from proletto_otel.export.spool import spool as spool_module
from proletto_otel.export.spool.directory import LEASE_S
from proletto_otel.export.spool.resend import resend_rejected
from proletto_otel.export.spool.spool import Spool, reason
from tests.waiting import PATIENCE_S

SINK = "otlp_logs"


class World:
    """A spool with its clocks and its ledger."""

    def __init__(self, directory: Path | None, **settings: int) -> None:
        self.now = 1_700_000_000.0
        self.ledger = Ledger(Registry())
        self.settings = {"max_bytes": 10_000, "max_age_s": 1000} | settings
        self.directory = directory
        self.spool = self.another()

    def another(self) -> Spool:
        """A second worker on the same directory."""
        return Spool(
            self.directory, ledger=self.ledger, clock=lambda: self.now,
            monotonic=lambda: self.now, **self.settings,
        )  # fmt: skip

    def dropped(self) -> dict[str, int]:
        """Losses by reason."""
        return self.ledger.totals()[SINK]["dropped"]

    def spooled(self) -> int:
        """Records on disk, as counted."""
        return self.ledger.totals()[SINK]["spooled"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "spool")


@pytest.mark.parametrize("encoding", ["", GZIP])
def test_payload_comes_back_as_it_was(world: World, encoding: str) -> None:
    """What was written is what is read, compressed or not, by any worker."""
    payload = Payload.of(b"request" * 50, 7, encoding)
    world.spool.write("logs", payload)
    claim = world.another().claim("logs")

    assert claim is not None
    assert payload == claim.payload
    assert b"request" * 50 == claim.payload.request()


def test_oldest_comes_out_first(world: World) -> None:
    """Payloads leave in the order in which they came."""
    for i in range(3):
        world.now += 1
        world.spool.write("logs", Payload(b"%d" % i, 1))
    claims = [world.spool.claim("logs") for _ in range(3)]

    assert [b"0", b"1", b"2"] == [claim.payload.body for claim in claims if claim]
    assert world.spool.claim("logs") is None


def test_only_the_owner_may_read(world: World) -> None:
    """Telemetry on disk is 0600 in directories of 0700."""
    world.spool.write("logs", Payload(b"x", 1))
    (file,) = (world.directory / "logs").iterdir()

    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert 0o700 == stat.S_IMODE(file.parent.stat().st_mode)


def test_claim_of_a_dead_worker_is_free_after_the_lease(world: World) -> None:
    """Sixty seconds after a claimer was killed its file is taken by another one."""
    world.spool.write("logs", Payload(b"x", 1))
    assert world.spool.claim("logs") is not None
    world.now += LEASE_S - 1
    assert world.another().claim("logs") is None
    world.now += 2

    assert world.another().claim("logs") is not None


def test_claimer_that_was_overtaken_does_not_count(world: World) -> None:
    """A worker that slept through its lease leaves the counting to the one that took over."""
    world.spool.write("logs", Payload(b"x", 1))
    slow = world.spool.claim("logs")
    assert slow is not None
    world.now += LEASE_S + 1
    world.another().claim("logs")

    assert not world.spool.done("logs", slow)
    assert 1 == world.spooled()


def test_oldest_is_dropped_over_the_cap_and_counted(tmp_path: Path) -> None:
    """A full spool makes room by losing its oldest records, whichever signal they are of."""
    world = World(tmp_path, max_bytes=1000)
    for i in range(10):
        world.now += 1
        world.spool.write("logs", Payload(b"%d" % i * 200, 5))
    used = sum(file.stat().st_size for file in tmp_path.rglob("*.otlp"))
    claim = world.spool.claim("logs")

    assert used <= 1000
    assert {"spool_full": 30} == world.dropped()
    assert 20 == world.spooled()
    assert claim is not None
    assert claim.payload.body == b"6" * 200


def test_full_spool_is_read_once_for_many_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its limit a spool lists its directories for every 64th of the limit, not at each write."""
    world = World(tmp_path, max_bytes=160_000)
    workers = [world.spool, world.another()]
    listings, scandir = [], os.scandir
    for _ in range(520):
        world.spool.write("logs", Payload(bytes(300), 2))
    monkeypatch.setattr(os, "scandir", lambda path: listings.append(path) or scandir(path))
    for i in range(300):
        workers[i % 2].write("logs", Payload(bytes(300), 2))
    monkeypatch.undo()
    waiting = list(tmp_path.rglob("*.otlp"))
    used = sum(file.stat().st_size for file in waiting)

    assert 300 / 7 >= len(listings)  # a 64th is 8 files
    assert 160_000 * 63 / 64 - 313 <= used <= 160_000
    assert 2 * len(waiting) == world.spooled()
    assert {"spool_full": 2 * 820 - 2 * len(waiting)} == world.dropped()


def test_bytes_found_free_are_read_again_after_a_while(world: World) -> None:
    """What a worker near the limit may write is not believed for long: others write as well."""
    world.spool.write("logs", Payload(bytes(4000), 1))
    assert world.directory is not None
    (world.directory / "traces").mkdir()
    # A version that takes no lock; it wrote later, so the log is the oldest.
    name = files.new_entry(world.now + 1, 1, "another", 1).base
    (world.directory / "traces" / name).write_bytes(bytes(5000))
    world.now += spool_module.FREE_FOR_S
    world.spool.write("logs", Payload(bytes(2000), 1))

    assert {"spool_full": 1} == world.dropped()


def test_payload_larger_than_the_spool_is_refused(tmp_path: Path) -> None:
    """One huge payload does not push everything else out."""
    world = World(tmp_path, max_bytes=1000)
    world.spool.write("logs", Payload(b"small", 1))
    with pytest.raises(OSError, match="larger") as refused:
        world.spool.write("logs", Payload(b"x" * 2000, 1))

    assert "disk_full" == reason(refused.value)
    assert world.spool.claim("logs") is not None


def test_old_payloads_are_dropped_and_counted(world: World) -> None:
    """After the age limit nobody wants the records any more."""
    world.spool.write("logs", Payload(b"old", 4))
    world.now += 1001
    world.spool.write("logs", Payload(b"new", 1))
    world.spool.sweep()
    claim = world.spool.claim("logs")

    assert claim is not None
    assert b"new" == claim.payload.body
    assert {"spool_expired": 4} == world.dropped()


def test_metrics_over_an_hour_old_are_dropped_and_counted(tmp_path: Path) -> None:
    """Prometheus takes none of them; logs and traces of the same age are still delivered."""
    world = World(tmp_path, max_age_s=48 * 3600)
    for signal in ("metrics", "logs", "traces"):
        world.spool.write(signal, Payload(b"old", 4))
    world.now += 3500
    world.spool.write("metrics", Payload(b"new", 1))
    world.now += 101
    world.spool.sweep()
    claims = {s: world.spool.claim(s) for s in ("metrics", "logs", "traces")}

    assert {"metrics": b"new", "logs": b"old", "traces": b"old"} == {
        signal: claim and claim.payload.body for signal, claim in claims.items()
    }
    assert world.spool.claim("metrics") is None
    assert {"spool_expired": 4} == world.ledger.totals()["otlp_metrics"]["dropped"]
    assert {} == world.dropped()


def test_deleted_directory_is_counted_and_made_again(world: World) -> None:
    """Somebody removes the spool: what was in it is counted as lost, and it goes on."""
    world.spool.write("logs", Payload(b"x", 3))
    shutil.rmtree(world.directory)
    world.spool.write("logs", Payload(b"y", 2))

    assert {"spool_deleted": 3} == world.dropped()
    assert 2 == world.spooled()
    assert world.spool.claim("logs") is not None


def test_unwritable_place_is_an_error_for_the_caller(tmp_path: Path) -> None:
    """What cannot be written stays with the caller, and no half file is left."""
    (tmp_path / "spool").write_text("a file where a directory should be")
    world = World(tmp_path / "spool")
    with pytest.raises(NotADirectoryError):
        world.spool.write("logs", Payload(b"x", 1))
    with pytest.raises(OSError, match="no state directory"):
        World(None).spool.write("logs", Payload(b"x", 1))

    assert world.spool.claim("logs") is None


def test_rejected_payloads_are_kept_up_to_their_cap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person finds what a server refused, the latest of it."""
    monkeypatch.setattr(spool_module, "REJECTED_MAX_BYTES", 1000)
    for i in range(20):
        world.now += 1
        world.spool.reject("logs", Payload(b"%02d" % i * 100, 1), "rejected_400")
    kept = sorted((world.directory / "rejected").iterdir())

    assert 4 == len(kept)
    assert kept[-1].name.endswith(".logs.rejected_400.otlp")
    assert b"19" in kept[-1].read_bytes()


def test_usage_is_what_waits(world: World) -> None:
    """Files, bytes, records and the age of the oldest are known without reading the disk."""
    world.spool.write("logs", Payload(b"x" * 100, 5))
    world.now += 60
    world.spool.write("logs", Payload(b"x" * 100, 6))
    world.spool.sweep()
    usage = world.spool.usage("logs")

    assert (2, 11, 60.0) == (usage.files, usage.items, usage.age_s)
    assert 200 < usage.bytes < 300


WRITER = """
import sys
from pathlib import Path
from proletto_otel.export.payload import Payload
from proletto_otel.export.spool.spool import Spool
spool = Spool(Path(sys.argv[1]), max_bytes=150_000, max_age_s=1e6)
for i in range(60):
    spool.write("logs", Payload(bytes(3000), 10))
"""


def test_cap_holds_over_workers(tmp_path: Path) -> None:
    """Four processes write at the same time, each 180 KB: 150 KB stay."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path]) for _ in range(4)]
    assert [0, 0, 0, 0] == [writer.wait(PATIENCE_S) for writer in writers]

    assert 140_000 < sum(path.stat().st_size for path in (tmp_path / "logs").iterdir()) <= 150_000


def test_lock_of_a_stopped_process_is_not_waited_for(world: World) -> None:
    """Whoever holds the lock and sleeps costs a short wait, not the data."""
    assert world.directory is not None
    with files.locked(world.directory):
        world.spool.write("logs", Payload(b"x", 1))

    assert world.another().claim("logs") is not None


def test_rejected_payloads_come_back(world: World) -> None:
    """What was set aside waits again, as new; old metrics and what is not whole stay there."""
    assert world.directory is not None
    for signal, body in (("logs", b"a"), ("traces", b"b"), ("metrics", b"too old")):
        world.spool.reject(signal, Payload(body * 50, 3), "rejected_400")
    world.now += 7200
    world.spool.reject("metrics", Payload(b"new", 1, GZIP), "rejected_413")
    aside = world.directory / "rejected"
    (aside / "garbage-otlp_logs-x").write_bytes(b"x")
    torn = next(aside.glob("*.traces.*"))
    torn.write_bytes(torn.read_bytes()[:-1])
    result = resend_rejected(world.directory, now_s=world.now)

    assert ({"logs": 3, "metrics": 1}, 3) == (result.records, result.left)
    assert 3 == len(list(aside.iterdir()))
    claims = {signal: world.spool.claim(signal) for signal in ("logs", "traces", "metrics")}
    assert claims["traces"] is None
    assert claims["logs"] is not None
    assert Payload(b"a" * 50, 3) == claims["logs"].payload
    assert claims["metrics"] is not None
    assert Payload(b"new", 1, GZIP) == claims["metrics"].payload


PROCESS = """
import sys, time
from pathlib import Path
from proletto_otel.export.payload import Payload
from proletto_otel.export.spool.spool import Spool
me, directory = sys.argv[1], Path(sys.argv[2])
spool = Spool(directory, max_bytes=10**8, max_age_s=1e6)
for i in range(60):
    spool.write("logs", Payload(f"{me}-{i}".encode(), 1))
    claim = spool.claim("logs")
    if claim:
        print(claim.payload.body.decode(), spool.done("logs", claim))
"""


def test_many_processes_share_it_without_loss_or_double(tmp_path: Path) -> None:
    """Four processes write and drain at once: each payload leaves exactly once."""
    command = [sys.executable, "-c", PROCESS]
    started = [
        subprocess.Popen([*command, str(i), str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for i in range(4)
    ]
    seen = [line for p in started for line in p.communicate(timeout=PATIENCE_S)[0].splitlines()]
    last = Spool(tmp_path, max_bytes=10**8, max_age_s=1e6)
    while claim := last.claim("logs"):
        seen.append(f"{claim.payload.body.decode()} {last.done('logs', claim)}")

    assert sorted(f"{i}-{j} True" for i in range(4) for j in range(60)) == sorted(seen)
    assert [] == os.listdir(tmp_path / "logs")
