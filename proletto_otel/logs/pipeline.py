"""The one way from a log call to the sinks: context, clean once, then fan out.

Our logger (`logs.api.loggers`), the standard library (`logs.intake.stdlib`) and structlog
(`logs.intake.structlog`) all end in `pipeline.emit`. It takes no lock, so a signal handler may log,
and it never raises. Sinks live in `logs.sinks`, the chain's assembly in `setup.logs`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from proletto_otel.core import internal_errors, parsing
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.deferred_writer import DeferredWriter, Ways, WriteMany
from proletto_otel.logs.record.builder import Builder
from proletto_otel.logs.record.call_site import (
    DEFAULT_ENVIRONMENT,
    CallSite,
    CallSites,
    CodeLocation,
    this_process,
)
from proletto_otel.logs.record.logger_name import LoggerPolicy
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.console import ConsoleSink
from proletto_otel.logs.sinks.sink import Sink

MAX_EARLY = 1000
"""Records kept before set-up, to be handed to the sinks when it comes."""
ERROR = 40
WARNING = 30

Write = Callable[[Record], None]


class _Thread(threading.local):
    """Of each thread: whether its records go to the console only.

    No ContextVar: a finalizer may log, and CPython 3.10 and 3.11 do not survive one that sets a
    variable while the garbage collector runs inside another `set`.
    """

    console_only = False


_thread = _Thread()


@contextmanager
def console_only() -> Iterator[None]:
    """Records made inside go to the console only: exporters and sinks wrap their sending in it."""
    before, _thread.console_only = _thread.console_only, True
    try:
        yield
    finally:
        _thread.console_only = before


class Pipeline:
    """Cleans records and hands them to sinks and listeners."""

    def __init__(self) -> None:
        self.sinks: tuple[Sink, ...] = ()
        self.level = 20
        """Records below it are not recorded (`LOG_LEVEL`)."""
        self.build = Builder()
        self.ready = False
        """Whether set-up has come; until then records are printed and kept."""
        self.places = CallSites()
        self._listeners: tuple[tuple[int, Write, Write], ...] = ()
        self._early: deque[Record] = deque(maxlen=MAX_EARLY)
        self._ways: dict[int, tuple[Write, ...]] = {}
        self._ways_at_once: dict[int, tuple[Write, ...]] = {}
        self._together: dict[int, Ways] = {}
        self._console: tuple[Write, ...] = ()
        self._lost_early = 0
        self.deferred = DeferredWriter()
        self.close()

    # --- set-up --------------------------------------------------------------------------------
    def add(self, sink: Sink) -> None:
        """Send records to *sink* too; a sink of the same name is replaced."""
        self.use((*(s for s in self.sinks if s.name != sink.name), sink))

    def remove(self, sink: Sink) -> None:
        """Send nothing more to *sink*."""
        self.use(tuple(s for s in self.sinks if s is not sink))

    def listen(self, callback: Write, level: int = ERROR, *, logs: bool = True) -> None:
        """Call *callback* with each record of *level* and above, after the sinks had it.

        Args:
            callback: Runs in the caller's thread; what it logs goes to the console only.
            level: Records below it are not for it.
            logs: False for one that is known to log nothing; it costs less.
        """
        way = self._guarded(callback) if logs else callback
        self._listeners = (*self._listeners, (level, callback, way))
        self.use(self.sinks)

    def unlisten(self, callback: Write) -> None:
        """Undo `listen`."""
        self._listeners = tuple(entry for entry in self._listeners if entry[1] != callback)
        self.use(self.sinks)

    def open(self, *, level: int, environment: str, breadcrumbs: int) -> None:
        """Set-up has come; `hand_over` follows when all sinks are there."""
        self.level = level
        self.build = Builder(breadcrumbs)
        this_process.serve(environment)
        self.places.forget()
        self.ready = True

    def hand_over(self) -> None:
        """Give sinks and listeners what was logged before the set-up; again does nothing."""
        late = [(sink.level, self._way(sink)) for sink in self.sinks if not sink.console]
        late += [(level, way) for level, _, way in self._listeners]
        for sink in self.sinks:
            if self._lost_early and not sink.console:
                ledger.emitted(sink.name, self._lost_early)
                ledger.dropped(sink.name, "before_setup", self._lost_early)
        self._lost_early = 0
        while self._early:
            self._replay(self._early.popleft(), late)

    def _replay(self, record: Record, late: list[tuple[int, Write]]) -> None:
        record.forget_lines()
        for level, write in late:
            if record.level >= max(level, self.level):
                with internal_errors.suppressed("logs.replay"):
                    write(record)

    def close(self) -> None:
        """Back to the state before set-up: records are printed and kept."""
        self._listeners = ()
        self._early.clear()
        self._lost_early = 0
        self.level = first_level()
        self.build = Builder()
        this_process.serve(DEFAULT_ENVIRONMENT)
        self.places.forget()
        self.ready = False
        self.use((ConsoleSink(),))

    def use(self, sinks: Iterable[Sink]) -> None:
        """Send records to these sinks and no others."""
        self.sinks = sinks = tuple(sinks)
        self._console = tuple(self._way(s) for s in sinks if s.console)
        self._ways, self._ways_at_once, self._together = {}, {}, {}

    def _way(self, sink: Sink) -> Write:
        return sink.write if sink.counts else self._counted(sink)

    def _found(self, level: int, known: dict[int, tuple[Write, ...]]) -> tuple[Write, ...]:
        at_once = level >= WARNING or known is self._ways_at_once
        ways = self._sink_ways([s for s in self.sinks if level >= s.level], at_once)
        ways += [way for low, _, way in self._listeners if level >= low]
        if len(known) < 100:  # a program has few levels; one that invents them stays bounded
            known[level] = tuple(ways)
        return tuple(ways)

    def together(self, level: int) -> Ways:
        """The ways of many records of *level* at once, for those that are made in `behind`."""
        ways = self._together.get(level)
        if ways is None:
            sinks = [s for s in self.sinks if level >= s.level]
            own = [s.write_many if s.counts else _one_by_one(self._way(s)) for s in sinks]
            heard = [_one_by_one(way) for low, _, way in self._listeners if level >= low]
            ways = self._together[level] = (*own, *heard)
        return ways

    def _sink_ways(self, sinks: list[Sink], at_once: bool) -> list[Write]:
        """Safe copies first; where there is one, the others' copies of ordinary lines may wait."""
        now = [s for s in sinks if not s.may_wait]
        late = [s for s in sinks if s.may_wait]
        if not late or not any(s.safe_copy for s in now):
            return [self._way(s) for s in sinks]
        if at_once:
            return [self.deferred.first, *(self._way(s) for s in sinks)]
        return [
            *(self._way(s) for s in now),
            self.deferred.later(tuple(s.write_many for s in late)),
        ]

    def _counted(self, sink: Sink) -> Write:
        write, queued = self._guarded(sink.write), sink.queued

        def count(record: Record) -> None:
            ledger.emitted(sink.name)
            try:
                write(record)
            except Exception:
                ledger.dropped(sink.name, "error")
                raise
            if not queued:
                ledger.delivered(sink.name)

        return count

    def _guarded(self, call: Write) -> Write:
        """Code that is not ours may log: what it logs meanwhile goes to the console only."""

        def guarded(record: Record) -> None:
            before, _thread.console_only = _thread.console_only, True
            try:
                call(record)
            finally:
                _thread.console_only = before

        return guarded

    # --- records -------------------------------------------------------------------------------
    def emit(
        self,
        logger: str,
        level: int,
        event: str,
        fields: Mapping[str, Any],
        error: BaseException | None,
        code: CodeLocation,
        line: int,
        time_ns: int = 0,
    ) -> None:
        """Record *event*; *fields* are the caller's facts as they came.

        Args:
            logger: Name of the logger.
            level: Number of the level.
            event: What happened, arguments already in it.
            fields: Facts of any type.
            error: The exception that belongs to it.
            code: The calling function.
            line: Its line.
            time_ns: When, unix time; 0 is now.
        """
        try:
            place = self.places.of(logger, level, code, line)
        except Exception as broken:  # a name that is none
            self.lost(broken)
        else:
            self.say(place, event, dict(fields), error, time_ns)

    def say(
        self,
        place: CallSite,
        event: str,
        fields: dict[str, Any],
        error: BaseException | None,
        time_ns: int = 0,
    ) -> None:
        """As `emit`, for a caller who knows the place already and has no more use for *fields*."""
        try:
            record = self.build.record(place, event, fields, error, time_ns)
            if _thread.console_only or (not place.name.free and place.name.held_back()):
                self._console_only(place.name, record)
            else:
                self._hand(record, self._ways)
        except Exception as broken:
            self.lost(broken)

    def fan_out_at_once(self, record: Record) -> None:
        """Hand a clean record to every sink and listener; no copy waits, whatever the level."""
        self._hand(record, self._ways_at_once)

    def _hand(self, record: Record, known: dict[int, tuple[Write, ...]]) -> None:
        ways = known.get(record.place.level)
        if ways is None:
            ways = self._found(record.place.level, known)
        for write in ways:
            try:
                write(record)
            except Exception as error:
                self._failed(error)
        if not self.ready:
            self._keep(record)

    # --- what must not travel, what went wrong -------------------------------------------------
    def _console_only(self, name: LoggerPolicy, record: Record) -> None:
        if not name.may_speak(time.monotonic()):
            return
        for write in self._console:
            write(record)

    def _keep(self, record: Record) -> None:
        if len(self._early) == MAX_EARLY:
            self._lost_early += 1
        self._early.append(record)

    @staticmethod
    def _failed(error: Exception) -> None:
        internal_errors.count_failure("logs.sink", error)
        if internal_errors.strict:
            raise error

    @staticmethod
    def lost(error: Exception) -> None:
        """A record could not be made; strict, as in tests, that is an error."""
        internal_errors.count_failure("logs.emit", error)
        if internal_errors.strict:
            raise error


def _one_by_one(way: Write) -> WriteMany:
    def write(records: Sequence[Record]) -> None:
        for record in records:
            try:
                way(record)
            except Exception as error:  # the others still have to be written
                internal_errors.count_failure("logs.sink", error)

    return write


def first_level() -> int:
    """The level before set-up: `LOG_LEVEL` of the environment if it fits, else INFO."""
    try:
        return int(parsing.level(os.environ.get("LOG_LEVEL") or "INFO"))
    except parsing.InvalidValue:
        return 20


pipeline = Pipeline()
"""The process's pipeline."""
