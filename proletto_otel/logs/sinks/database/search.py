"""The table `error_logs` in a search of the log: errors of all hosts that share the database.

A page never waits long for the application's database: it is asked in a thread of its own, on a
connection of our own, and after a failure not again for a growing pause. The rules of a search are
in `logs.search.stored_errors`.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from proletto_otel.core import conventions as c
from proletto_otel.core.config import Config
from proletto_otel.logs.search.query import LEVELS, Matcher, level_number
from proletto_otel.logs.search.results import ERRORS, LogLine
from proletto_otel.logs.search.stored_errors import FoundErrors
from proletto_otel.logs.sinks.database.rejections import words
from proletto_otel.runtime import database_engine as engines
from proletto_otel.runtime.circuit_breaker import Breaker
from proletto_otel.runtime.single_flight import SharedCall

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.engine import Engine, RowMapping

WAIT_S = 0.5
"""The longest time a search waits for the database."""
CHUNK = 200
USE = engines.Use(
    application_name="proletto_error_search", seconds=1.0, keeps_connection=False,
    creates_file=False,
)  # fmt: skip
_FIELDS = {
    c.LEVEL: "level", c.LOGGER_NAME: "logger", c.MESSAGE: "message", c.MODULE: "module",
    c.FUNCTION: "function", c.LINE: "line", c.PROCESS_ID: "process_id",
    c.LOG_THREAD_ID: "thread_id", c.ENVIRONMENT: "environment", c.REQUEST_ID: "request_id",
    c.TRACE_ID: "trace_id", c.SPAN_ID: "span_id", c.LOG_FINGERPRINT: "fingerprint",
}  # fmt: skip
"""Fields of a line and the columns that hold them."""
_EPOCH = datetime(1970, 1, 1)


class ErrorTable:
    """Errors of this service in the application's database.

    Args:
        db: A Flask-SQLAlchemy object, an SQLAlchemy engine or URL.
        config: Service and environment.
        app: The Flask application of a Flask-SQLAlchemy object, when there is more than one.
        clock: Monotonic seconds.
    """

    def __init__(
        self, db: Any, config: Config, app: Any = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._db, self._app, self._clock = engines.check(db), app, clock
        self._service, self._environment = config.service_name, config.environment
        self._host = socket.gethostname()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._breaker = Breaker(self._clock)
        self._engine: Engine | None = None
        self._call: SharedCall[FoundErrors] | None = None
        self._problem = ""

    def search(
        self, matcher: Matcher, low: int, high: int, limit: int, is_over: Callable[[], bool]
    ) -> FoundErrors:
        """As `logs.search.stored_errors.ErrorSource` says."""
        if os.getpid() != self._pid:  # the parent's thread and connection are not this process's
            self._begin()
        if not self._breaker.ready():
            wait = max(round(self._breaker.wait_s()), 1)
            return FoundErrors(problem=f"{self._problem}; it is asked again in {wait} s")
        if self._call is not None and not self._call.over:
            return FoundErrors(problem="the error table has not answered the last question yet")
        self._call = call = SharedCall(
            "proletto-error-table",
            lambda: self._fetch(matcher, low, high, limit, is_over),
            self._clock(),
        )
        call.wait(WAIT_S)
        found = call.result if call.over else FoundErrors(problem=_unread("timeout"))
        found = found or FoundErrors(problem=_unread("it failed"))
        if found.problem:
            self._breaker.failed()
            self._problem = found.problem
        else:
            self._breaker.succeeded()
        return found

    def _fetch(
        self, matcher: Matcher, low: int, high: int, limit: int, is_over: Callable[[], bool]
    ) -> FoundErrors:
        """Runs in the thread; raises nothing."""
        try:
            return self._read(matcher, low, high, limit, is_over)
        except Exception as error:  # away, no right to read, no application yet
            return FoundErrors(problem=_unread(words(error)))

    def _read(
        self, matcher: Matcher, low: int, high: int, limit: int, is_over: Callable[[], bool]
    ) -> FoundErrors:
        if self._engine is None:
            self._engine = engines.own_engine(self._db, USE, app=self._app)
        found: list[LogLine] = []
        after: tuple[datetime, int] | None = None
        with self._engine.connect() as connection:
            while True:
                rows = connection.execute(self._rows(matcher, low, high, after)).mappings().all()
                for row in rows:
                    at = _milliseconds(row["timestamp"])
                    if len(found) >= limit and at < round(found[-1].at * 1000):
                        return FoundErrors(lines=found, reached=round(found[-1].at * 1000))
                    line = self._line(row, at)
                    if matcher.matches(line):
                        found.append(line)
                if len(rows) < CHUNK:
                    return FoundErrors(lines=found)
                after = rows[-1]["timestamp"], rows[-1]["id"]
                at = _milliseconds(after[0])
                # Others of the same millisecond may follow: a call ends before it, not within it.
                if is_over() and at + 1 < high:
                    whole = [line for line in found if round(line.at * 1000) > at]
                    return FoundErrors(lines=whole, reached=at + 1)

    def _rows(
        self, matcher: Matcher, low: int, high: int, after: tuple[datetime, int] | None
    ) -> Select[Any]:
        """The next rows; SQL does what columns can do, `matcher` the rest."""
        from sqlalchemy import and_, or_, select

        from proletto_otel.logs.sinks.database.schema import error_logs

        t, q = error_logs.c, matcher.query
        wanted: list[ColumnElement[bool]] = [
            t.service == self._service, t.environment == self._environment,
            t.timestamp >= _utc(low), t.timestamp < _utc(high),
        ]  # fmt: skip
        if after is not None:
            earlier = and_(t.timestamp == after[0], t.id < after[1])
            wanted.append(or_(t.timestamp < after[0], earlier))
        columns = (
            (t.request_id, q.request_id), (t.trace_id, q.trace_id), (t.fingerprint, q.fingerprint),
            (t.component, q.component), (t.user_id, q.user),
        )  # fmt: skip
        wanted += [column == value for column, value in columns if value]
        if q.identifier:
            ids = (t.request_id, t.trace_id, t.fingerprint)
            wanted.append(or_(*(column == q.identifier for column in ids)))
        if q.logger:
            below = t.logger.startswith(f"{q.logger}.", autoescape=True)
            wanted.append(or_(t.logger == q.logger, below))
        if matcher.min_level > level_number("ERROR"):
            names = [name for name in LEVELS if level_number(name) >= matcher.min_level]
            wanted.append(t.level.in_(names))
        return (
            select(error_logs).where(*wanted).order_by(t.timestamp.desc(), t.id.desc()).limit(CHUNK)
        )

    def _line(self, row: RowMapping, at: int) -> LogLine:
        """A row as its line has it."""
        when = datetime.fromtimestamp(at / 1000, timezone.utc).replace(tzinfo=None)
        record: dict[str, Any] = {c.TIMESTAMP: when.isoformat(timespec="milliseconds")}
        record |= {name: row[column] for name, column in _FIELDS.items() if row[column] is not None}
        if row["exception_type"] or row["exception_message"]:
            record[c.EXCEPTION] = {
                "type": row["exception_type"],
                "message": row["exception_message"],
                "traceback": (row["traceback"] or "").splitlines(),
            }
        facts = row["facts"]
        record |= facts if isinstance(facts, dict) else {}
        return LogLine(
            at=at / 1000,
            record=record,
            cursor=f"row-{row['id']}",
            file="",
            source=ERRORS,
            group=row["fingerprint"] or "",
            host="" if row["host"] == self._host else row["host"] or "",
        )


def _unread(why: str) -> str:
    return f"the error table of the database cannot be read: {why}"


def _utc(at: int) -> datetime:
    """Unix milliseconds as the column has them; as late as dates go."""
    return min(_EPOCH + timedelta(milliseconds=min(at, 1 << 46)), datetime(9999, 1, 1))


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
