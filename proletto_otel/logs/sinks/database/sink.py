"""ERROR and CRITICAL records in the table `error_logs` of the application's database.

Written by a thread and a connection of its own: a request never waits for it, and a transaction of
the application is never touched. The table lives in `logs.sinks.database.schema`, the queue in
`runtime.queue_worker`.
"""

from __future__ import annotations

import datetime
import logging
import random
import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import COMPONENT
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.logs.pipeline import console_only
from proletto_otel.logs.record.breadcrumbs import crumb
from proletto_otel.logs.record.record import Record
from proletto_otel.logs.sinks.database import rejections as errors
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.runtime import database_engine as engines
from proletto_otel.runtime.queue_worker import Outcome, QueueWorker, RetryLater

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

RETAIN_EVERY_S = 600.0
DELETE_BATCH = 500
"""Rows deleted in one transaction: short enough that no insert waits long."""
MAX_NAME = 255
USE = engines.Use(application_name="proletto_error_logs")

_abandoned: list[Engine] = []
"""Engines a child inherited: closing them would end the parent's connection."""


class DatabaseSink(Sink):
    """Writes records to `error_logs`.

    Args:
        db: A Flask-SQLAlchemy object, an SQLAlchemy engine or URL.
        config: Service, environment and retention.
        app: The Flask application of a Flask-SQLAlchemy object, when there is more than one.
    """

    name = "database"
    level = logging.ERROR
    queued = True
    retain_every_s = RETAIN_EVERY_S
    """Seconds between two searches for rows that are too old or too many."""

    def __init__(self, db: Any, config: Config, app: Any = None) -> None:
        self._db = db
        self._app = app
        self._service = config.service_name
        self._host = socket.gethostname()
        self._max_days = config.database_retention_days
        self._max_rows = config.database_max_rows
        self._engine: Engine | None = None
        self.queue: QueueWorker[Record] = QueueWorker(
            self.name,
            self._deliver,
            prepare=self._prepare,
            idle=self._retain_when_idle,
            finish=self._drop_connection,
            surroundings=console_only,
        )
        self._forget()

    @classmethod
    def of(cls, db: Any, config: Config, app: Any = None) -> DatabaseSink:
        """Build the sink.

        Raises:
            ConfigError: *db* is none of what fits, or SQLAlchemy is not installed.
        """
        return cls(engines.check(db), config, app)

    # --- component -----------------------------------------------------------------------------
    def write(self, record: Record) -> None:
        """Queue *record*; a signal handler may call it."""
        self.queue.put(record)

    def start(self) -> None:
        """Start the thread that writes."""
        self.queue.start()

    def flush(self, deadline: float) -> bool:
        """Wait until all is written; False at *deadline*, or when the database is away longer."""
        return self.queue.flush(deadline)

    def stop(self, deadline: float) -> None:
        """Write what can be written until *deadline*, count the rest as lost by the shutdown."""
        self.queue.stop(deadline)

    def status(self) -> dict[str, Any]:
        """Health for people, and how many records wait."""
        waiting = self.queue.status()
        self.last_error = waiting["last_error"]
        return {**super().status(), **waiting}

    def forked(self) -> None:
        """A connection of its own for the child; the parent's is left open."""
        self.queue.forked()
        self._forget()

    def _forget(self) -> None:
        if self._engine is not None:
            _abandoned.append(self._engine)
        self._engine = None
        self._columns: list[str] = []
        self._uids: dict[int, str] = {}
        self._again = False
        # workers take turns: the first clean-up comes at a random time of the first interval
        self._retain_at = time.monotonic() + random.uniform(0.1, 1.0) * self.retain_every_s

    def _prepare(self) -> None:
        """Create the table now and not with the first error: a missing right shows at the start."""
        try:
            self._ready()
        finally:
            self._drop_connection()

    # --- writing -------------------------------------------------------------------------------
    def _deliver(self, batch: Sequence[Record]) -> Outcome:
        """Insert *batch*; when it is repeated, rows that are stored already are left out."""
        from sqlalchemy.exc import SQLAlchemyError

        rows = [self._row(record) for record in batch]  # a fault here is the record's
        try:
            losses = self._write(rows)
        except SQLAlchemyError as error:
            self._drop_connection()
            raise RetryLater(errors.words(error)) from None
        except Exception as error:  # no application yet, or a driver that is not installed
            raise RetryLater(f"{type(error).__name__}: {str(error)[:200]}") from None
        return Outcome(len(batch) - sum(losses.values()), losses)

    def _write(self, rows: list[dict[str, Any]]) -> Counter[str]:
        from sqlalchemy.exc import SQLAlchemyError

        engine = self._ready()
        losses: Counter[str] = Counter()
        if self._again:
            rows = self._absent(engine, rows)
        try:
            self._insert(engine, rows)
        except SQLAlchemyError as error:
            self._again = True
            self._columns = []  # perhaps the table was dropped or changed
            if not errors.is_rejection(error):
                raise
            losses = self._one_by_one(self._ready(), self._absent(engine, rows))
        self._again = False
        self._uids.clear()
        return losses

    def _one_by_one(self, engine: Engine, rows: list[dict[str, Any]]) -> Counter[str]:
        """Insert row by row, so that a row the database refuses is lost alone."""
        from sqlalchemy.exc import SQLAlchemyError

        losses: Counter[str] = Counter()
        for row in rows:
            try:
                self._insert(engine, [row])
            except SQLAlchemyError as error:
                if not errors.is_rejection(error):
                    raise
                losses["rejected"] += 1
                self.queue.worker.set_error(errors.words(error))
                log_rate_limited(
                    "sink:database:rejected", "error_logs refused a row: %s", self.queue.last_error
                )
        return losses

    def _insert(self, engine: Engine, rows: list[dict[str, Any]]) -> None:
        from proletto_otel.logs.sinks.database.schema import error_logs

        known = [{name: row[name] for name in self._columns if name in row} for row in rows]
        if known:
            with engine.begin() as connection:
                connection.execute(error_logs.insert(), known)

    def _absent(self, engine: Engine, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of *rows* that are not stored: the insert before this one had no answer."""
        from sqlalchemy import select

        from proletto_otel.logs.sinks.database.schema import error_logs

        if "uid" not in self._columns:
            return rows
        uid = error_logs.c.uid
        with engine.connect() as connection:
            found = connection.execute(select(uid).where(uid.in_([row["uid"] for row in rows])))
            stored = set(found.scalars())
        return [row for row in rows if row["uid"] not in stored]

    def _ready(self) -> Engine:
        from proletto_otel.logs.sinks.database import schema

        if self._engine is None:
            self._engine = engines.own_engine(self._db, USE, app=self._app)
        if not self._columns:
            self._columns = schema.ensure(self._engine)
        return self._engine

    def _drop_connection(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def _row(self, record: Record) -> dict[str, Any]:
        error, thread_id = record.exception, record.thread_id
        if thread_id >= 2**63:  # unsigned 64-bit on some systems; the column is signed
            thread_id -= 2**64
        return {
            "uid": self._uids.setdefault(id(record), uuid4().hex),
            "timestamp": datetime.datetime.fromtimestamp(
                record.time_ns / 1e9, datetime.timezone.utc
            ).replace(tzinfo=None),
            "level": record.level_name[:16],
            "logger": record.logger[:MAX_NAME],
            "message": record.message,
            "module": record.module[:MAX_NAME],
            "function": record.function[:MAX_NAME],
            "line": record.line,
            "process_id": record.process_id,
            "thread_id": thread_id,
            "environment": record.environment[:64],
            "service": self._service[:MAX_NAME],
            "host": self._host[:MAX_NAME],
            "request_id": record.request_id[:128] or None,
            "trace_id": record.trace_id or None,
            "span_id": record.span_id or None,
            "fingerprint": record.fingerprint or None,
            "component": _name(record.fields.get(COMPONENT)),
            "user_id": _name(record.fields.get("user_id")),
            "exception_type": error.type[:MAX_NAME] if error else None,
            "exception_message": error.message if error else None,
            "traceback": error.traceback if error else None,
            "facts": record.fields,
            "breadcrumbs": [crumb(entry) for entry in record.breadcrumbs],
        }

    # --- retention -----------------------------------------------------------------------------
    def _retain_when_idle(self) -> None:
        """Delete one batch of old or surplus rows, when it is time and the queue is empty."""
        is_due = time.monotonic() >= self._retain_at
        if self.queue.queued or not is_due or not self.queue.worker.breaker.ready():
            return
        from sqlalchemy.exc import SQLAlchemyError

        try:
            if self.retain() >= DELETE_BATCH:
                return  # the next batch follows when the queue is empty again
        except SQLAlchemyError as error:
            self._drop_connection()
            self.queue.worker.set_error(errors.words(error))
        except RuntimeError:  # no application yet
            pass
        self._retain_at = time.monotonic() + random.uniform(0.5, 1.0) * self.retain_every_s

    def retain(self) -> int:
        """Delete one batch of rows that are too old or too many; return their number."""
        from sqlalchemy import ColumnElement, select

        from proletto_otel.logs.sinks.database.schema import error_logs as table

        engine = self._ready()
        limits: list[ColumnElement[bool]] = []
        if self._max_days:
            now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
            limits.append(table.c.timestamp < now - datetime.timedelta(days=self._max_days))
        with engine.connect() as connection:
            # By ID, newest first: counting the rows of a big table would take seconds.
            newest = select(table.c.id).order_by(table.c.id.desc()).offset(self._max_rows).limit(1)
            last = connection.execute(newest).scalar()
            if last is not None:
                limits.append(table.c.id <= last)
            for limit in limits:
                old = select(table.c.id).where(limit).order_by(table.c.id).limit(DELETE_BATCH)
                ids = list(connection.execute(old).scalars())
                if ids:
                    connection.execute(table.delete().where(table.c.id.in_(ids)))
                    connection.commit()
                    return len(ids)
        return 0


def _name(value: Any) -> str | None:
    return None if value is None else str(value)[:MAX_NAME]
