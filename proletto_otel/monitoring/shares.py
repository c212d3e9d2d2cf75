"""Shares: which of the service's registrations this process evaluates.

Processes of one service may have registered different things: web workers, a Celery worker, a cron
job. Those with the same registrations choose one leader; the leaders split what is registered, so
that everything is evaluated once. Each writes its registrations beside its lock:

    <state>/evaluators/<digest>.lock   held by the leader of these registrations
    <state>/evaluators/<digest>.json   {name: [rank, definition]}, there until a leader ends well

A name that several leaders have goes to the higher rank (an own threshold before a default), then
to the leader with more registrations, so that a cron job takes nothing over from the web workers.
A file without a holder of its lock says what nobody evaluates.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.state import files
from proletto_otel.state.leader import Leader, is_led

DEFAULT, REGISTERED = 1, 2
"""Ranks: what comes with telemetry, and what the program asked for."""
FORGET_S = 3600.0
"""What a killed process had registered is missed for an hour, then taken for given up."""

Registered = Mapping[str, tuple[int, str]]
"""Rank and definition of each registration, by kind and name: `threshold:cpu_percent`."""


class Shares(Component):
    """This process's part in evaluating what the service's processes registered.

    Args:
        directory: What the service's processes share; None: everything is this process's own.
        registered: What this process registered, now.
        now: Unix seconds.
    """

    name = "shares"

    def __init__(
        self, directory: Path | None, registered: Callable[[], Registered],
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._directory = directory / "evaluators" if directory is not None else None
        self._registered = registered
        self._now = now
        self._leader = Leader(None)
        self._digest = ""
        self._own: Registered = {}
        self._others: list[tuple[str, Registered]] = []
        self._has_ended = False
        self.leads = directory is None
        """Whether this process evaluates anything."""

    def __contains__(self, name: object) -> bool:
        """Whether this process evaluates *name* (`threshold:cpu_percent`)."""
        if self._directory is None or not self.leads:
            return self.leads
        if not isinstance(name, str) or name not in self._own:
            return False
        # The digest breaks ties: every process comes to the same order without talking to others.
        claim = (self._own[name][0], len(self._own), self._digest)
        rivals = [(d, other) for d, other in self._others if name in other]
        return all((other[name][0], len(other), digest) < claim for digest, other in rivals)

    @property
    def group(self) -> str:
        """What processes with the same registrations have in common; empty: not known yet."""
        return self._digest

    def start(self) -> None:
        """Take part in the shares, also after a stop."""
        self._has_ended = False

    def stop(self, deadline: float) -> None:
        """Leave well: nobody misses what this process had registered."""
        self._has_ended = True
        self._withdraw()

    def forked(self) -> None:
        """A child does not lead, whatever its parent does."""
        self._leader.forked()
        self.leads = self._directory is None
        self._others = []

    def take(self) -> None:
        """Lead or follow, and see who else leads what. A job of every process's ticker."""
        if self._directory is None or self._has_ended:
            return
        self._own = self._registered()
        body = orjson.dumps(self._own, option=orjson.OPT_SORT_KEYS)
        digest = hashlib.sha256(body).hexdigest()[:16]
        # Registrations came or went: this process now belongs to another group with its own lock.
        if digest != self._digest:
            self._withdraw()
            self._digest = digest
            self._leader = Leader(self._directory / f"{digest}.lock")
        self.leads = self._leader.try_lead()
        if not self.leads:
            return
        path = self._directory / f"{digest}.json"
        with contextlib.suppress(OSError):  # nobody can share: every process is for itself
            if not path.exists() or path.read_bytes() != body:  # deleted, or cut short
                files.replace(path, body)
        led, _ = self._survey()
        self._others = [(stem, other) for stem, other in led.items() if stem != digest]
        for _, other in self._others:
            _warn(self._own, other)

    def missing(self) -> list[str]:
        """What processes that are gone, or hang, had registered and no other one evaluates."""
        led, gone = self._survey()
        evaluated = set[str]().union(*led.values(), self._own if self.leads else ())
        names = set[str]().union(*gone) - evaluated
        return sorted(name for name in names if name.startswith(("threshold:", "check:")))

    def _survey(self) -> tuple[dict[str, Registered], list[Registered]]:
        """What others registered: by living leaders (by digest), and by nobody any more."""
        led: dict[str, Registered] = {}
        gone: list[Registered] = []
        paths: list[Path] = []
        if self._directory is not None:
            with contextlib.suppress(OSError):
                paths = list(self._directory.glob("*.json"))
        for path in paths:
            lock = path.with_suffix(".lock")
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, LookupError):
                written = orjson.loads(path.read_bytes())
                registered = {k: (int(v[0]), str(v[1])) for k, v in written.items()}
                if is_led(lock):
                    led[path.stem] = registered
                elif self._now() - lock.stat().st_mtime <= FORGET_S:  # the last heartbeat
                    gone.append(registered)
                else:
                    path.unlink()
                    lock.unlink()
        return led, gone

    def _withdraw(self) -> None:
        if self.leads and self._directory is not None and self._digest:
            # in this order: who leads next can do so, and writes, only once the lock is gone
            for suffix in ("json", "lock"):
                with contextlib.suppress(OSError):
                    (self._directory / f"{self._digest}.{suffix}").unlink()
        self._leader.resign()
        self.leads = self._directory is None


def _warn(own: Registered, other: Registered) -> None:
    """Two definitions of one name: one of them is evaluated, and people should know."""
    for name in own.keys() & other.keys():
        if own[name][0] == other[name][0] and own[name][1] != other[name][1]:
            log_rate_limited(
                f"shares.{name}",
                "%s is registered differently by another process of this service: one of both is "
                "evaluated; give one of them a name of its own",
                name,
            )
