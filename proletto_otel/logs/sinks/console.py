"""Standard output: short and coloured on a terminal, by `LOG_FORMAT` or as JSON otherwise.

On the process's own standard output a line is one `write` to its descriptor, so lines of several
workers do not mix and a signal handler may log. A stream that was put in its place (a test, a
notebook, click) is written as a stream.
"""

from __future__ import annotations

import operator
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from proletto_otel.core.conventions import REQUEST_ID
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.format.text import below, facts_text
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.record.timestamp import local
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.logs.this_thread import this_thread

_COLOURS = {10: "\x1b[2m", 20: "\x1b[32m", 30: "\x1b[33m", 40: "\x1b[31m", 50: "\x1b[1;31m"}
_DIM, _BOLD, _OFF = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_COLOUR = lazy_pattern(r"\x1b\[[0-9;]*m")  # a record itself has no escape characters
_UTF8 = ("utf-8", "utf8")

_write = os.write
_text_line = operator.attrgetter("text_line")
_json_line = operator.attrgetter("json")

Put = Callable[[Record], None]


class _Output:
    """Where lines go while `sys.stdout` is *chosen_for*; never changed once it is in use."""

    __slots__ = ("chosen_for", "descriptor", "put", "stream")

    def __init__(
        self, chosen_for: object, stream: TextIO | None, put: Put, descriptor: int
    ) -> None:
        self.chosen_for = chosen_for
        self.stream = stream
        self.put = put
        self.descriptor = descriptor


class ConsoleSink(Sink):
    """Prints records; standard error stands in when there is no standard output."""

    name = "console"
    counts = True
    console = True
    may_wait = True

    def __init__(self, *, json: bool = False) -> None:
        self._line: Callable[[Record], bytes] = _json_line if json else _text_line
        self._is_json = json
        # No stream is this object: the first record chooses the output.
        self._unchosen = _Output(self, None, self._nowhere, -1)
        # Replaced as a whole, so that another thread never sees half of a choice.
        self._output = self._unchosen
        self._writes_into_log: object = self
        """The stream in place of standard output that turns printed text into log records."""
        self._emitted = ledger.emitted_cell(self.name)
        self._delivered = ledger.delivered_cell(self.name)

    def write(self, record: Record) -> None:
        """Print *record*; a closed or broken output is counted, nothing more."""
        self._emitted.value += 1
        try:
            output = self._output
            stream = output.stream
            # One comparison finds a stream that somebody put in place of standard output.
            if sys.stdout is not output.chosen_for or stream is None or stream.closed:
                output = self._choose()
            descriptor = output.descriptor
            if descriptor < 0:
                output.put(record)
            else:
                line = self._line(record)
                # Past the stream's buffer and lock: a signal handler that logs amid a stream's
                # write would raise.
                written = _write(descriptor, line)
                if written != len(line):
                    write_all(descriptor, line[written:])
        # A full pipe that was set not to block: waiting for its reader would stop the request.
        except BlockingIOError:
            self._drop("would_block")
        except BrokenPipeError:
            self._drop("broken_pipe")
        except (OSError, ValueError, RuntimeError, AttributeError, TypeError):
            self._drop("closed")  # ValueError: closed; RuntimeError: a signal amid a stream's write
        except Exception:
            self._drop("error")
            raise
        else:
            self._delivered.value += 1

    def write_many(self, records: Sequence[Record]) -> None:
        """Print many records with one call where the output takes lines by its descriptor."""
        output = self._output
        if output.descriptor < 0 or sys.stdout is not output.chosen_for:
            super().write_many(records)
            return
        try:
            lines = b"".join(map(self._line, records))
        except Exception:
            super().write_many(records)  # the one that fails is counted by itself
            return
        self._emitted.add(len(records))
        try:
            write_all(output.descriptor, lines)
        except OSError as error:
            # Some lines may have got through: counted as lost rather than as delivered.
            reason = "broken_pipe" if isinstance(error, BrokenPipeError) else "closed"
            self._drop(reason, len(records))
        else:
            self._delivered.add(len(records))

    def forked(self) -> None:
        """Choose the output anew with the next record."""
        self._output = self._unchosen

    def _drop(self, reason: str, n: int = 1) -> None:
        self.last_error = f"standard output: {reason}"
        self._output = self._unchosen
        ledger.dropped(self.name, reason, n)

    def _choose(self) -> _Output:
        chosen_for = sys.stdout
        streams = (chosen_for, sys.stderr)
        if chosen_for is self._writes_into_log:
            streams = (sys.__stdout__, sys.__stderr__)
        stream = next((s for s in streams if _usable(s)), None)
        self._output = _Output(chosen_for, stream, *self._way_to(stream))
        return self._output

    def _way_to(self, stream: TextIO | None) -> tuple[Put, int]:
        """How a record gets to *stream*, and the descriptor that takes whole lines or -1."""
        if stream is None:
            return self._nowhere, -1
        if stream.isatty() and not self._is_json:
            # whether the terminal and the person take colours: https://no-color.org
            colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
            return lambda record: _write_text(stream, pretty(record, colours=colours)), -1
        descriptor = own_descriptor(stream)
        if descriptor >= 0 or stream in (sys.__stdout__, sys.__stderr__):
            return lambda record: _write_text(stream, self._line(record).decode()), descriptor
        return lambda record: self._print_to_foreign(stream, record), -1

    def _print_to_foreign(self, stream: TextIO, record: Record) -> None:
        """Print to a stream that somebody put in the place of standard output.

        One that writes into the log (Celery's `LoggingProxy`) would bring each line back as a
        record: then the process's own output takes them.
        """
        this_thread.printing, this_thread.looped = True, False
        try:
            _write_text(stream, self._line(record).decode())
        finally:
            this_thread.printing = False
        if this_thread.looped:
            self._writes_into_log = stream
            output = self._choose()
            if output.descriptor >= 0:
                write_all(output.descriptor, self._line(record))
            else:
                output.put(record)

    @staticmethod
    def _nowhere(_: Record) -> None:
        raise ValueError("no standard output")


def _usable(stream: Any) -> bool:
    return stream is not None and not getattr(stream, "closed", False)


def own_descriptor(stream: TextIO) -> int:
    """The descriptor of the process's own UTF-8 standard stream, -1 for anything else."""
    if stream is not sys.__stdout__ and stream is not sys.__stderr__:
        return -1
    if (stream.encoding or "").lower() not in _UTF8:
        return -1
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return -1


def write_all(descriptor: int, line: bytes) -> None:
    """Write *line*, in one call unless the other side takes less."""
    written = os.write(descriptor, line)
    while written < len(line):
        written += os.write(descriptor, line[written:])


def _write_text(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def pretty(record: Record, *, colours: bool = True) -> str:
    """The short form for a terminal."""
    colour = _COLOURS.get(record.level, _COLOURS[50 if record.level > 50 else 20])
    when = local(record.time_ns)[11:].replace(",", ".")
    line = f"{_DIM}{when}{_OFF} {colour}{record.level_name:<8}{_OFF} "
    facts = facts_text(record) if record.facts_in_line else ""
    if record.request_id:
        facts += f" {REQUEST_ID}={record.request_id}"
    line += f"{_BOLD}{record.message}{_OFF}{_DIM}{facts} [{record.logger}]{_OFF}\n"
    if record.exception is not None:
        line += below(record.exception.traceback)
    return line if colours else _COLOUR.sub("", line)


def to_stderr(record: Record) -> None:
    """Write the JSON line of a record to standard error, when its file cannot be written."""
    _print_to_stderr(record.json)


def warning_to_stderr(record: Record) -> None:
    """Write a warning of ours to standard error, where the console is off."""
    if record.level >= 30:
        _print_to_stderr(record.text_line)


def _print_to_stderr(line: bytes) -> None:
    stream = sys.stderr
    try:
        if _usable(stream):
            descriptor = own_descriptor(stream)
            if descriptor < 0:
                _write_text(stream, line.decode())
            else:
                write_all(descriptor, line)
    except (OSError, ValueError, RuntimeError):
        return  # the drop is counted already; there is no other place left
