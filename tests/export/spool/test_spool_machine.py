"""Row D14: whatever crashes, whenever, nothing leaves the spool uncounted and nothing loops."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.export.payload import Payload
from proletto_otel.export.spool.directory import LEASE_S, Claim
from proletto_otel.export.spool.spool import Spool

SINK = "otlp_traces"
WORKERS = st.integers(0, 2)
CAP = 700
"""Bytes: room for about a dozen files, so that the cap is met."""


class Crash(RuleBasedStateMachine):
    """Three workers share a spool; they die, files break, the clock jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.now = 1_700_000_000.0
        self.ticks = 0.0
        self.ledger = Ledger(Registry())
        self.workers = [self.worker() for _ in range(3)]
        self.held: list[dict[str, tuple[Claim, float]]] = [{}, {}, {}]
        self.written: set[int] = set()
        self.arrived: set[int] = set()
        self.next_id = 0

    def worker(self) -> Spool:
        """A process that has just begun."""
        return Spool(
            self.directory, max_bytes=CAP, max_age_s=1e9, ledger=self.ledger,
            clock=lambda: self.now, monotonic=lambda: self.ticks,
        )  # fmt: skip

    @initialize()
    def begin(self) -> None:
        """The directory exists as soon as somebody wrote."""
        self.write(0, 1)

    @rule(i=WORKERS, items=st.integers(1, 4))
    def write(self, i: int, items: int) -> None:
        """A worker cannot deliver and spools."""
        ids = range(self.next_id, self.next_id + items)
        self.next_id += items
        self.ledger.emitted(SINK, items)
        self.workers[i].write("traces", Payload(",".join(map(str, ids)).encode(), items))
        self.written |= set(ids)

    @rule(i=WORKERS)
    def claim(self, i: int) -> None:
        """A worker takes the oldest; nobody alive holds the same within the lease."""
        claim = self.workers[i].claim("traces")
        if claim is None:
            return
        for others in self.held:
            for held, since in others.values():
                if held.entry.base == claim.entry.base:
                    assert not 0 <= self.now - since < LEASE_S - 1
        self.held[i][claim.entry.base] = (claim, self.now)

    @rule(i=WORKERS)
    def deliver(self, i: int) -> None:
        """What it held arrives and is removed, unless another one took it over meanwhile."""
        for claim, _ in self.held[i].values():
            self.arrived |= set(map(int, claim.payload.body.split(b",")))
            if self.workers[i].done("traces", claim):
                self.ledger.delivered(SINK, claim.payload.items)
        self.held[i].clear()

    @rule(i=WORKERS)
    def give_back(self, i: int) -> None:
        """The peer was not there after all."""
        for claim, _ in self.held[i].values():
            self.workers[i].give_back("traces", claim)
        self.held[i].clear()

    @rule(i=WORKERS)
    def crash(self, i: int) -> None:
        """A worker is killed; its successor knows nothing."""
        self.held[i].clear()
        self.workers[i] = self.worker()

    @rule(data=st.binary(max_size=40), number=st.integers(0, 99))
    def crash_while_writing(self, data: bytes, number: int) -> None:
        """A worker dies with half a file on disk."""
        path = self.directory / "traces" / f".tmp-{int(self.now * 1e9):020d}-3-dead-{number}.otlp"
        path.write_bytes(data)
        os.utime(path, (self.now, self.now))

    @rule(name=st.sampled_from(["core", "notes.txt", "1-2-x-3.otlp", "é"]), data=st.binary())
    def garbage(self, name: str, data: bytes) -> None:
        """Somebody leaves a file that is not ours."""
        (self.directory / "traces" / name).write_bytes(data)

    @rule(size=st.integers(0, 30), pick=st.integers(0, 99))
    def corrupt(self, size: int, pick: int) -> None:
        """A file lost its end (a power cut on a file system that promises little)."""
        found = sorted(self.directory.glob("traces/*.otlp"))
        ours = [path for path in found if path.name[:20].isdigit()]
        if ours:
            path = ours[pick % len(ours)]
            os.truncate(path, max(0, min(size, path.stat().st_size - 1)))

    @rule(seconds=st.sampled_from([0.1, 1, 30, 59, 61, 3600]))
    def time_passes(self, seconds: float) -> None:
        """Both clocks go on."""
        self.now += seconds
        self.ticks += seconds

    @rule(seconds=st.sampled_from([-3600, 3600]))
    def wall_clock_jumps(self, seconds: float) -> None:
        """Somebody sets the clock; leases of the others may end early, which only duplicates."""
        self.now += seconds
        for held in self.held:
            held.update({base: (claim, -1e18) for base, (claim, _) in held.items()})

    @rule(i=WORKERS)
    def sweep(self, i: int) -> None:
        """Housekeeping runs at any time."""
        self.workers[i].sweep()

    @invariant()
    def law(self) -> None:
        """Emitted = delivered + spooled + dropped, and spooled is what the disk says."""
        totals = self.ledger.totals().get(SINK)
        if totals is None:
            return
        dropped = sum(totals["dropped"].values())
        assert totals["emitted"] == totals["delivered"] + totals["spooled"] + dropped
        on_disk = [p.name for p in (self.directory / "traces").iterdir() if p.name[:20].isdigit()]
        assert totals["spooled"] == sum(int(name.split("-")[1]) for name in on_disk)

    @precondition(lambda self: self.next_id)
    @rule()
    def everything_drains(self) -> None:
        """After the lease a newcomer gets all that is left, and the directory is empty."""
        self.now += LEASE_S + 1
        self.ticks += LEASE_S + 1
        last = self.worker()
        while claim := last.claim("traces"):
            self.arrived |= set(map(int, claim.payload.body.split(b",")))
            assert last.done("traces", claim)
            self.ledger.delivered(SINK, claim.payload.items)
        for held in self.held:
            held.clear()
        totals = self.ledger.totals()[SINK]
        assert 0 == totals["spooled"]
        assert len(self.written - self.arrived) <= sum(totals["dropped"].values())
        assert [] == list((self.directory / "traces").iterdir())

    def teardown(self) -> None:
        """Drain once more and leave nothing."""
        if self.next_id:
            self.everything_drains()
        shutil.rmtree(self.directory)


Crash.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestCrash = Crash.TestCase
