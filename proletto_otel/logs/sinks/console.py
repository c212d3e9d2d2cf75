"""Standard output: short and coloured on a terminal, by `LOG_FORMAT` otherwise.

On the process's own standard output a line is one `write` to its descriptor, so lines of several
workers do not mix and a signal handler may log. A stream that was put in its place (a test, a
notebook, click) is written as a stream.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from proletto_otel.core.conventions import REQUEST_ID
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.format.text import below, facts_text
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.record.timestamp import local
from proletto_otel.logs.sinks.sink import Sink

_COLOURS = {10: "\x1b[2m", 20: "\x1b[32m", 30: "\x1b[33m", 40: "\x1b[31m", 50: "\x1b[1;31m"}
_DIM, _BOLD, _OFF = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_UTF8 = ("utf-8", "utf8")

_write = os.write

Put = Callable[[Record], None]


class ConsoleSink(Sink):
    """Prints records; standard error stands in when there is no standard output."""

    name = "console"
    counts = True
    console = True
    may_wait = True

    def __init__(self) -> None:
        self._known: object = self  # no stream is this object: the first record chooses the output
        self._stream: TextIO | None = None
        self._put: Put = self._nowhere
        self._descriptor = -1
        self._emitted = ledger.emitted_cell(self.name)
        self._delivered = ledger.delivered_cell(self.name)

    def write(self, record: Record) -> None:
        """Print *record*; a closed or broken output is counted, nothing more."""
        self._emitted.value += 1
        try:
            stream = self._stream
            if sys.stdout is not self._known or stream is None or stream.closed:
                self._choose()
            descriptor = self._descriptor
            if descriptor < 0:
                self._put(record)
            else:
                line = record.text_line
                written = _write(descriptor, line)
                if written != len(line):
                    write_all(descriptor, line[written:])
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
        if self._descriptor < 0 or sys.stdout is not self._known:
            super().write_many(records)
            return
        try:
            lines = b"".join([record.text_line for record in records])
        except Exception:
            super().write_many(records)  # the one that fails is counted by itself
            return
        self._emitted.add(len(records))
        try:
            write_all(self._descriptor, lines)
        except OSError as error:
            reason = "broken_pipe" if isinstance(error, BrokenPipeError) else "closed"
            self._drop(reason, len(records))
        else:
            self._delivered.add(len(records))

    def forked(self) -> None:
        """Choose the output again."""
        self._known = self

    def _drop(self, reason: str, n: int = 1) -> None:
        self.last_error = f"standard output: {reason}"
        self._known = self
        ledger.dropped(self.name, reason, n)

    def _choose(self) -> None:
        self._known = sys.stdout
        self._stream = next((s for s in (sys.stdout, sys.stderr) if _usable(s)), None)
        self._descriptor = -1
        self._put = self._put_to(self._stream)

    def _put_to(self, stream: TextIO | None) -> Put:
        if stream is None:
            return self._nowhere
        if stream.isatty():
            return lambda record: _write_text(stream, pretty(record))
        self._descriptor = own_descriptor(stream)
        return lambda record: _write_text(stream, record.text_line.decode())

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


def pretty(record: Record) -> str:
    """The short coloured form for a terminal."""
    colour = _COLOURS.get(record.level, _COLOURS[50 if record.level > 50 else 20])
    when = local(record.time_ns)[11:].replace(",", ".")
    line = f"{_DIM}{when}{_OFF} {colour}{record.level_name:<8}{_OFF} "
    facts = facts_text(record) if record.facts_in_line else ""
    if record.request_id:
        facts += f" {REQUEST_ID}={record.request_id}"
    line += f"{_BOLD}{record.message}{_OFF}{_DIM}{facts} [{record.logger}]{_OFF}\n"
    if record.exception is not None:
        line += below(record.exception.traceback)
    return line


def to_stderr(record: Record) -> None:
    """The JSON line on standard error: where lines go that their file does not take."""
    stream = sys.stderr
    try:
        if _usable(stream):
            descriptor = own_descriptor(stream)
            if descriptor < 0:
                _write_text(stream, record.json.decode())
            else:
                write_all(descriptor, record.json)
    except (OSError, ValueError, RuntimeError):
        return  # the drop is counted already; there is no other place left
