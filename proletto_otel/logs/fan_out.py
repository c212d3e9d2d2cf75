"""Which sinks and listeners get a record of a level, and who of them may wait for it.

The lists are made once per level: a log call loops over ready functions. Building records
lives in `logs.pipeline`, the thread that writes what waits in `runtime.deferred_writer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from proletto_otel.core import internal_errors
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.console import warning_to_stderr
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.logs.this_thread import this_thread
from proletto_otel.runtime.deferred_writer import DeferredWriter, Targets, WriteMany

WARNING = 30
ERROR = 40

Write = Callable[[Record], None]


class FanOut:
    """The sinks and listeners of a process."""

    def __init__(self) -> None:
        self.sinks: tuple[Sink, ...] = ()
        self.listeners: tuple[tuple[int, Write, Write], ...] = ()
        """Lowest level, the callback as it was given, and as it is called."""
        self.deferred = DeferredWriter("logs")
        self.console: tuple[Write, ...] = ()
        """The functions that write records for the console only, such as our own warnings."""
        self.console_sinks: tuple[Sink, ...] = ()
        self._by_level: dict[int, tuple[Write, ...]] = {}
        self._by_level_now: dict[int, tuple[Write, ...]] = {}
        """The same, where no copy may wait."""
        self._batch_by_level: dict[int, Targets] = {}

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
        write = self._console_only_inside(callback) if logs else callback
        self.listeners = (*self.listeners, (level, callback, write))
        self.use(self.sinks)

    def unlisten(self, callback: Write) -> None:
        """Undo `listen`."""
        self.listeners = tuple(entry for entry in self.listeners if entry[1] != callback)
        self.use(self.sinks)

    def use(self, sinks: Iterable[Sink]) -> None:
        """Send records to these sinks and no others."""
        self.sinks = sinks = tuple(sinks)
        self.console_sinks = tuple(s for s in sinks if s.console)
        # Made once per change of the sinks: a log call loops over what is ready.
        printed = tuple(self._counted_write(s) for s in self.console_sinks)
        self.console = printed or (warning_to_stderr,)  # our warnings have to reach somebody
        # New tables, none emptied: a thread that is logging goes on with the list it has.
        self._by_level, self._by_level_now, self._batch_by_level = {}, {}, {}

    def _counted_write(self, sink: Sink) -> Write:
        """`sink.write`, with the counts that the sink does not make itself."""
        if sink.counts:
            return sink.write
        write, queued = self._console_only_inside(sink.write), sink.queued

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

    @staticmethod
    def _console_only_inside(call: Write) -> Write:
        """Wrap foreign code: what it logs while it runs goes to the console only."""

        # as `console_only`, inlined: a generator's context manager costs 2.8 us, this 0.3 us
        def guarded(record: Record) -> None:
            before, this_thread.console_only = this_thread.console_only, True
            try:
                call(record)
            finally:
                this_thread.console_only = before

        return guarded

    def writes(self, level: int) -> tuple[Write, ...]:
        """The functions to call with a record of *level*; from WARNING on no copy waits."""
        found = self._by_level.get(level)
        return self._list(self._by_level, level, level >= WARNING) if found is None else found

    def writes_now(self, level: int) -> tuple[Write, ...]:
        """As `writes`, but no copy waits, at any level."""
        found = self._by_level_now.get(level)
        return self._list(self._by_level_now, level, True) if found is None else found

    def _list(
        self, known: dict[int, tuple[Write, ...]], level: int, now: bool
    ) -> tuple[Write, ...]:
        writes = self._sink_writes([s for s in self.sinks if level >= s.level], now)
        writes += [write for lowest, _, write in self.listeners if level >= lowest]
        if len(known) < 100:  # a program has few levels; one that invents them stays bounded
            known[level] = tuple(writes)
        return tuple(writes)

    def _sink_writes(self, sinks: list[Sink], now: bool) -> list[Write]:
        """The write functions of *sinks*; where one copy survives a crash, others may wait."""
        may_wait = [s.write_many for s in sinks if s.may_wait]
        # no copy on disk, as in a container: then nothing waits, for a crash would take all copies
        if not may_wait or not any(s.safe_copy for s in sinks if not s.may_wait):
            return [self._counted_write(s) for s in sinks]
        if now:
            return [self.deferred.flush_before, *map(self._counted_write, sinks)]
        # The copy that survives a crash (the file) at once, the others in batches. The file in
        # batches too would make three log lines a tenth cheaper, but a killed process would lose
        # 50 ms of them.
        at_once = [self._counted_write(s) for s in sinks if not s.may_wait]
        return [*at_once, self.deferred.deferring(tuple(may_wait))]

    def batch_targets(self, level: int) -> Targets:
        """The functions that take batches of records of *level*, for those made by `deferred`."""
        targets = self._batch_by_level.get(level)
        if targets is None:
            sinks = [s for s in self.sinks if level >= s.level]
            own = [s.write_many if s.counts else _each(self._counted_write(s)) for s in sinks]
            heard = [_each(write) for lowest, _, write in self.listeners if level >= lowest]
            targets = self._batch_by_level[level] = (*own, *heard)
        return targets


def _each(write: Write) -> WriteMany:
    """Write records one by one; one that fails is lost alone."""

    def write_many(records: Sequence[Record]) -> None:
        for record in records:
            try:
                write(record)
            except Exception as error:
                internal_errors.count_failure("logs.sink", error)

    return write_many
