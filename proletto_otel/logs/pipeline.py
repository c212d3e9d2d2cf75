"""From a log call to the sinks: build the record once, then hand it to each sink.

Our logger (`logs.api.loggers`), the standard library (`logs.intake.stdlib`) and structlog
(`logs.intake.structlog`) all end in `pipeline.emit`. It takes no lock, so a signal handler may log,
and it never raises. Sinks live in `logs.sinks`; `setup.logs` chooses them from the settings.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from proletto_otel.core import internal_errors, parsing
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.fan_out import FanOut, Write
from proletto_otel.logs.level_overrides import LevelOverrides
from proletto_otel.logs.record.builder import Builder
from proletto_otel.logs.record.call_site import (
    DEFAULT_ENVIRONMENT,
    CallSite,
    CallSites,
    CodeLocation,
    this_process,
)
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.console import ConsoleSink
from proletto_otel.logs.this_thread import console_only, this_thread

__all__ = ["Pipeline", "console_only", "pipeline"]

MAX_EARLY = 1000
"""Records that wait for set-up, to be handed to the sinks when it comes."""


class Pipeline(FanOut):
    """Builds records and hands them to sinks and listeners."""

    def __init__(self) -> None:
        super().__init__()
        self.level = 20
        """Records below it are not recorded (`LOG_LEVEL`)."""
        self.overrides: LevelOverrides | None = None
        """Levels of single loggers that an operator set; None nearly always."""
        self.build = Builder()
        self.ready = False
        """Whether set-up has come; until then records are printed and wait."""
        self.call_sites = CallSites()
        self.on_early: Callable[[], None] = lambda: None
        """Called when the first record begins to wait for the set-up."""
        self._early: deque[Record] = deque(maxlen=MAX_EARLY)
        self._lost_early = 0
        self.close()

    # --- set-up --------------------------------------------------------------------------------
    def open(self, *, level: int, environment: str, breadcrumbs: int) -> None:
        """Set-up has come; `hand_over` follows when all sinks are there."""
        self.level = level
        self.build = Builder(breadcrumbs)
        this_process.use_environment(environment)
        self.call_sites.forget()
        self.ready = True

    def hand_over(self) -> None:
        """Hand on the records from before the set-up; a second call does nothing."""
        # Not to the console: it printed them when they came.
        late = [(sink.level, self._counted_write(sink)) for sink in self.sinks if not sink.console]
        late += [(level, write) for level, _, write in self.listeners]
        for sink in self.sinks:
            # Counted for each sink that would have had them, so that emitted = delivered + dropped
            # holds.
            if self._lost_early and not sink.console:
                ledger.emitted(sink.name, self._lost_early)
                ledger.dropped(sink.name, "before_setup", self._lost_early)
        self._lost_early = 0
        while self._early:
            record = self._early.popleft()
            record.forget_lines()  # format and environment are known only now
            for level, write in late:
                if record.level >= max(level, self.level):
                    with internal_errors.suppressed("logs.replay"):
                        write(record)

    def close(self) -> None:
        """Back to the state before set-up: records are printed and wait."""
        self.listeners = ()
        self._early.clear()
        self._lost_early = 0
        self.level = first_level()
        self.overrides = None
        self.build = Builder()
        this_process.use_environment(DEFAULT_ENVIRONMENT)
        self.call_sites.forget()
        self.ready = False
        self.use((ConsoleSink(),))

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
            call_site = self.call_sites.of(logger, level, code, line)
        except Exception as broken:  # the name is no text
            self.lost(broken, level)
        else:
            self.emit_from(call_site, event, dict(fields), error, time_ns)

    def emit_from(
        self,
        call_site: CallSite,
        event: str,
        fields: dict[str, Any],
        error: BaseException | None,
        time_ns: int = 0,
    ) -> None:
        """As `emit`, for a caller who has the call site and does not use *fields* afterwards."""
        # Everything up to the sinks in one `try`: facts have foreign `__str__`, which may raise. In
        # CPython 3.11 and newer a `try` that is not left by an exception costs nothing.
        try:
            record = self.build.record(call_site, event, fields, error, time_ns)
            policy = call_site.policy
            restricted = not policy.unrestricted and policy.is_held_back()
        except Exception as broken:
            self.lost(broken, call_site.level)
        else:
            if restricted or this_thread.console_only:
                # at a limited rate: telemetry's own troubles must not fill the console
                if policy.within_rate(time.monotonic()):
                    self._write(record, self.console)
            else:
                self._write(record, self.writes(call_site.level))

    def write_now(self, record: Record) -> None:
        """Hand a clean record to every sink and listener; no copy waits, whatever the level."""
        self._write(record, self.writes_now(record.call_site.level))

    def _write(self, record: Record, writes: tuple[Write, ...]) -> None:
        # a `try` for each sink: one that fails takes the record from no other
        for write in writes:
            try:
                write(record)
            except Exception as error:  # the sink counted the record
                internal_errors.count_failure("logs.sink", error)
                if internal_errors.strict:
                    raise
        if not self.ready:
            # the deque drops its oldest record by itself; here it is counted
            if len(self._early) == MAX_EARLY:
                self._lost_early += 1
            if not self._early:
                self.on_early()
            self._early.append(record)

    def lost(self, error: Exception, level: int, where: str = "logs.emit") -> None:
        """Count a record of *level* that could not be made as lost, for each of its sinks."""
        internal_errors.count_failure(where, error)
        for sink in self.sinks:
            if level >= sink.level:
                ledger.emitted(sink.name)
                ledger.dropped(sink.name, "error")
        if internal_errors.strict:
            raise error


def first_level() -> int:
    """The level before set-up: `LOG_LEVEL` of the environment if it fits, else INFO."""
    try:
        return int(parsing.level(os.environ.get("LOG_LEVEL") or "INFO"))
    except parsing.InvalidValue:
        return 20


pipeline = Pipeline()
"""The process's pipeline."""
