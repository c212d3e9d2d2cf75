"""The numbers of all workers of a host, sent by one of them as series that outlive workers.

If each worker sent its own, every restart would begin new series: `increase()` misses the first
value of a series and extrapolates short ones at both ends. Measured with recycled workers on
Prometheus 3.16: 3,948 or 3,144 for 3,540 requests. The merged totals of the host are one series
per label set, whoever sends them, and they never go back when another process takes over.

Adding up lives in `state.snapshots`; sending in `export.metric_reader`.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from proletto_otel.core.internal_errors import count_failure
from proletto_otel.core.metrics.push import Push
from proletto_otel.core.metrics.registry import Attributes, Family, Histogram
from proletto_otel.state import files
from proletto_otel.state.leader import Leader
from proletto_otel.state.snapshots import Snapshots

MAX_SERIES = 50_000
"""Series of which the start is recorded; a host with more gets no zero for the rest."""
SILENT_INTERVALS = 3
SILENT_S = 15.0
"""A sender that was silent for both is stuck: another process sends, too. Two who
send the same totals do no harm."""
POLL_S = 0.02

Series = tuple[str, Attributes]


class HostTotals:
    """Decides whether this process sends for the host, and makes what it sends.

    Args:
        directory: The host's state directory; None: this process sends its own numbers.
        snapshots: Reads and publishes the numbers of the workers.
        interval_s: Seconds between two pushes.
        now_ns: Unix time in nanoseconds.
    """

    def __init__(
        self,
        directory: Path | None,
        snapshots: Snapshots,
        interval_s: float,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        lock = directory / "push.lock" if directory is not None else None
        self._journal = _Journal(directory / "pushed") if directory is not None else None
        self._snapshots = snapshots
        self._interval_s = interval_s
        self._now_ns = now_ns
        self._leaving = directory / "push.leaving" if directory is not None else None
        # whether a sender is stuck is judged by its pushes, which may be a day apart
        self._sender = Leader(lock, stuck_s=math.inf)
        self._known: set[Series] = set()
        self._is_loaded = False
        self._is_last = False

    def forked(self) -> None:
        """A child sends nothing until it takes the lock itself."""
        self._sender.forked()
        self._is_loaded = False

    def collect(self) -> Push | None:
        """What to send now; None where another process of the host sends."""
        # own numbers first: what was sent once must be found by whoever sends next, or the totals
        # would fall when this process is killed
        self._snapshots.publish()
        journal, now = self._journal, self._now_ns()
        if journal is None:
            return Push("", self._snapshots.merged(), now)
        # Judged by the time of the file, not by a message: it is there whatever became of the
        # sender.
        silent_s = (now - journal.last_push_ns()) / 1e9
        is_stuck = silent_s > max(SILENT_INTERVALS * self._interval_s, SILENT_S)
        if not self._sender.try_lead() and not is_stuck:
            self._is_loaded = False
            return None
        # After the lock: numbers read before it could be older than the last sender's.
        families = self._snapshots.merged()
        try:
            return self._with_zeros(journal, families, now)
        except OSError as error:
            count_failure("totals.journal", error)
            self._is_loaded = False  # the file is gone or full: read it again, or begin anew
            # Under the host's name as before: under another, the same counts would be there twice.
            return Push(journal.instance_id, families, now)

    def collect_last(self, deadline: float) -> Push | None:
        """As `collect`, at the end of the process: the last process sends what all counted.

        A sender that ends says so; then this process waits for its place until *deadline*
        (monotonic), because the other one may have read the totals before this one's were there.
        """
        self._snapshots.publish()
        # Polled, as flock has no wait with a deadline; 20 ms is short beside a shutdown of seconds.
        leaving = self._leaving
        while not self._sender.try_lead() and leaving is not None and leaving.exists():
            if time.monotonic() + POLL_S >= deadline:
                break
            time.sleep(POLL_S)
        # Said before the last push, so that others of the host wait for the lock meanwhile.
        if self._sender.is_leader:
            self._say_leaving(True)
        self._is_last = True
        return self.collect()

    def resign(self) -> None:
        """Let another process send."""
        self._say_leaving(False)
        self._sender.resign()
        self._is_loaded = self._is_last = False

    def _with_zeros(self, journal: _Journal, families: list[Family], now: int) -> Push:
        if not self._is_loaded:
            journal.load()
            self._known.clear()
            if self._leaving is not None and not self._is_last:
                self._leaving.unlink(missing_ok=True)  # left by a sender that was killed
            self._is_loaded = True
        started = {s: start for s, start in _counts(families) if s not in self._known}
        new = journal.add(started)
        self._known.update(started)
        if journal.is_new:  # an older series did not start now
            recent = now - int(2 * self._interval_s * 1e9)
            new = {s for s in new if started[s] >= recent}
        # A new series is sent with a zero one interval earlier, or increase() would miss its first
        # value; but after the last push, because points of a series must come in order.
        before = max(now - int(self._interval_s * 1e9), journal.pushed_ns + 1_000_000)
        journal.touch(now)
        zeros = _zeros(families, new) if before < now else []
        return Push(journal.instance_id, families, now, zeros, before)

    def _say_leaving(self, leaving: bool) -> None:
        """A file, because the lock's own content is the leader's beat."""
        if self._leaving is not None and self._sender.is_leader:
            with contextlib.suppress(OSError):  # a missed word costs the last half second at most
                if leaving:
                    self._leaving.touch(0o600)
                else:
                    self._leaving.unlink(missing_ok=True)


class _Journal:
    """The file that outlives senders: the host's instance ID, then a digest per series.

    Its modification time is the time of the last push. Only the sender writes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.instance_id = ""
        self.is_new = False
        """Whether it holds no push yet."""
        self.pushed_ns = 0
        self._digests: set[str] = set()

    def load(self) -> None:
        """Read it, or begin a new one.

        Raises:
            OSError: it can neither be read nor written.
        """
        lines = self._read()
        self.is_new = not lines
        if self.is_new:
            # a file that was deleted below its sender goes on under the same name
            files.replace(self._path, f"{self.instance_id or uuid.uuid4()}\n".encode())
            lines = self._read()
        self.pushed_ns = 0 if self.is_new else self._path.stat().st_mtime_ns
        self.instance_id, self._digests = lines[0], set(lines[1:])

    def add(self, series: Iterable[Series]) -> set[Series]:
        """Record *series* as started; returns those that were not recorded before.

        Raises:
            OSError: it could not be written.
        """
        # 16 characters a series instead of all its attributes: 50,000 series are below 1 MB. Two
        # series with one digest would only cost the second its zero.
        named = {hashlib.blake2b(repr(s).encode(), digest_size=8).hexdigest(): s for s in series}
        new = {digest: s for digest, s in named.items() if digest not in self._digests}
        if new and len(self._digests) < MAX_SERIES:
            # Appended, not replaced: a killed sender loses at most the line it was writing.
            with self._path.open("a", encoding="ascii") as file:
                file.writelines(f"{digest}\n" for digest in new)
            self._digests.update(new)
            return set(new.values())
        return set()

    def touch(self, now_ns: int) -> None:
        """Record that a push is made now.

        Raises:
            OSError: the file is gone.
        """
        os.utime(self._path, ns=(now_ns, now_ns))
        self.pushed_ns, self.is_new = now_ns, False

    def last_push_ns(self) -> int:
        """When any process pushed last; now, before the first push."""
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return time.time_ns()

    def _read(self) -> list[str]:
        try:
            lines = self._path.read_text("ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        with contextlib.suppress(ValueError, IndexError):
            return [str(uuid.UUID(lines[0])), *lines[1:]]
        return []  # overwritten by something else: start a new journal


def _counts(families: Iterable[Family]) -> list[tuple[Series, int]]:
    """Every count that only grows, and when it began."""
    return [
        ((f.name, point.attributes), point.start_ns)
        for f in families
        if f.kind in ("counter", "histogram")
        for point in f.points
    ]


def _zeros(families: Iterable[Family], new: set[Series]) -> list[Family]:
    """The *new* series alone, each with nothing counted."""
    found = []
    for f in families:
        points = []
        for p in f.points:
            if (f.name, p.attributes) in new:
                v = p.value
                empty = Histogram(v.bounds, [0] * len(v.counts)) if isinstance(v, Histogram) else 0
                points.append(replace(p, value=empty))
        if points:
            found.append(replace(f, points=points))
    return found
