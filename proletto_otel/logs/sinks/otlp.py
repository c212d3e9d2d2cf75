"""Log records as OTLP: the event is the body, facts are typed attributes beside it.

Names and severities are those of OpenTelemetry's own bridge, so queries agree. Batching, sending
and spooling live in `export`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proletto_otel.core.conventions import (
    CODE_FILE_PATH,
    CODE_FUNCTION_NAME,
    CODE_LINE_NUMBER,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
    FINGERPRINT,
    LOGGER_NAME,
)
from proletto_otel.core.exceptions import ExceptionFacts
from proletto_otel.export.encode import (
    log_attribute,
    log_body,
    log_constant,
    log_owner,
    log_start,
)
from proletto_otel.export.encode import severity as encoded_severity
from proletto_otel.logs.record import Code, Record
from proletto_otel.logs.sinks.base import Sink

SEVERITIES = {
    10: (5, "DEBUG"),
    20: (9, "INFO"),
    30: (13, "WARN"),
    40: (17, "ERROR"),
    50: (21, "FATAL"),
}
"""Level: OTLP severity number and text."""
_SEVERITIES = {level: encoded_severity(*facts) for level, facts in SEVERITIES.items()}
MAX_PLACES = 4096


class OtlpSink(Sink):
    """Encodes records in the caller's thread, a few µs each, and queues the bytes."""

    name = "otlp_logs"
    queued = True
    counts = True  # the batcher counts: it knows what became of each item
    may_wait = True

    def __init__(self, put: Callable[[Sequence[bytes]], None], level: int = 0) -> None:
        self.level = level
        self._put = put
        self._places: dict[tuple[Code, int, str], bytes] = {}
        self._request: tuple[str, str, bytes] = ("", "", b"")

    def write(self, record: Record) -> None:
        """Queue the record."""
        self._put((self.encode(record),))

    def write_many(self, records: Sequence[Record]) -> None:
        """Queue many records."""
        encode = self.encode
        self._put([encode(record) for record in records])

    def encode(self, record: Record) -> bytes:
        """The record as an OTLP `LogRecord`."""
        ready: bytes = record.otlp
        if ready:
            return ready
        key = (record.code, record.line, record.logger)
        attributes = record.otlp_fields()
        if record.fingerprint or record.exception is not None:
            attributes += _error_attributes(record)
        request_id, span_id, whose = self._request
        if request_id is not record.request_id or span_id is not record.span_id:
            whose = self._whose(record)
        return b"".join(
            (
                log_start(record.time_ns, record.flags),
                _SEVERITIES.get(record.level) or encoded_severity(*severity(record)),
                log_body(record.message), self._places.get(key) or self._place(key),
                attributes, whose,
            )
        )  # fmt: skip

    def _place(self, key: tuple[Code, int, str]) -> bytes:
        code, line, logger = key
        if len(self._places) >= MAX_PLACES:
            self._places = {}
        place = log_attribute(LOGGER_NAME, logger)
        if code.path:
            place += log_attribute(CODE_FILE_PATH, code.path)
            place += log_attribute(CODE_FUNCTION_NAME, code.qualified)
            place += log_attribute(CODE_LINE_NUMBER, line)
        self._places[key] = place
        return place

    def _whose(self, record: Record) -> bytes:
        """The request ID and the trace; the same for all records of a request's span."""
        request_id, span_id = record.request_id, record.span_id
        whose = log_owner(request_id, bytes.fromhex(record.trace_id + span_id))
        self._request = (request_id, span_id, whose)  # one store: threads see what belongs together
        return whose


def severity(record: Record) -> tuple[int, str]:
    """OTLP severity of a level between or beyond the five usual ones."""
    nearest = max((level for level in SEVERITIES if level <= record.level), default=0)
    return (SEVERITIES[nearest][0] if nearest else 1), record.level_name


def _error_attributes(record: Record) -> bytes:
    facts, attributes = record.exception, b""
    if record.fingerprint:
        attributes = log_attribute(FINGERPRINT, record.fingerprint)
    return attributes if facts is None else attributes + facts.form("otlp log", _exception)


def _exception(facts: ExceptionFacts) -> bytes:
    return (
        log_constant(EXCEPTION_TYPE, facts.type)
        + log_attribute(EXCEPTION_MESSAGE, facts.message)
        + log_attribute(EXCEPTION_STACKTRACE, facts.traceback)
    )
