"""The table `error_logs`: its columns, its indexes, and how it comes to be what it should.

Several workers may create or upgrade it at the same time: each finds what is missing, adds it
step by step, and checks again when another was faster. Nothing is ever removed or changed.
Needs SQLAlchemy; imported only by the database sink's thread. Writing lives in
`logs.sinks.database.sink`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    text,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

ATTEMPTS = 8
"""Checks of the schema: with eight workers each may lose a race once per missing part."""
MAX_NAME = 255
"""Characters of names; the most that every database indexes."""

_Id = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")  # SQLite counts only INTEGER by itself


def _on_mysql(usual: TypeEngine[Any], there: TypeEngine[Any]) -> TypeEngine[Any]:
    # one dialect a call: SQLAlchemy 1.4 takes no more
    return usual.with_variant(there, "mysql").with_variant(there, "mariadb")


_Long = _on_mysql(Text(), mysql.MEDIUMTEXT())  # TEXT ends at 64 KB there
_Time = _on_mysql(DateTime(), mysql.DATETIME(fsp=6))

metadata = MetaData()
error_logs = Table(
    "error_logs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("uid", String(32), comment="one per record: a repeated insert is noticed"),
    Column("timestamp", _Time, comment="UTC"),
    Column("level", String(16)),
    Column("logger", String(MAX_NAME)),
    Column("message", _Long),
    Column("module", String(MAX_NAME)),
    Column("function", String(MAX_NAME)),
    Column("line", Integer),
    Column("process_id", BigInteger),
    Column("thread_id", BigInteger),
    Column("environment", String(64)),
    Column("service", String(MAX_NAME)),
    Column("host", String(MAX_NAME)),
    Column("request_id", String(128)),
    Column("trace_id", String(32)),
    Column("span_id", String(16)),
    Column("fingerprint", String(16)),
    Column("component", String(MAX_NAME)),
    Column("user_id", String(MAX_NAME)),
    Column("exception_type", String(MAX_NAME)),
    Column("exception_message", _Long),
    Column("traceback", _Long),
    Column("facts", JSON, comment="what the caller added"),
    Column("breadcrumbs", JSON, comment="log events of the request before this one"),
    mysql_charset="utf8mb4",  # a database's own default may be latin1, which refuses most texts
    mariadb_charset="utf8mb4",
)
INDEXES = (
    Index("ix_error_logs_timestamp", error_logs.c.timestamp),
    Index("ix_error_logs_level_timestamp", error_logs.c.level, error_logs.c.timestamp),
    Index("ix_error_logs_fingerprint_timestamp", error_logs.c.fingerprint, error_logs.c.timestamp),
    Index("ix_error_logs_request_id", error_logs.c.request_id),
    Index("ix_error_logs_uid", error_logs.c.uid),
)


def ensure(engine: Engine) -> list[str]:
    """Create or extend the table; returns the names of the columns that can be written.

    Raises:
        SQLAlchemyError: the database is away, or the table is missing and may not be created.
    """
    problem: SQLAlchemyError | None = None
    for _ in range(ATTEMPTS):
        steps = list(missing(engine))
        if not steps:
            break
        problem = _take(engine, steps)
    present = _columns(engine)
    if not present and problem is not None:
        raise problem
    return [column.name for column in error_logs.columns if column.name in present]


def missing(engine: Engine) -> Iterator[str]:
    """The statements that would make the table what it should be."""
    present = _columns(engine)
    if not present:
        yield str(CreateTable(error_logs).compile(engine))
    else:
        table = engine.dialect.identifier_preparer.format_table(error_logs)
        for column in error_logs.columns:
            if column.name not in present:
                definition = CreateColumn(column).compile(dialect=engine.dialect)
                yield f"ALTER TABLE {table} ADD COLUMN {definition}"
    found = inspect(engine).get_indexes(error_logs.name) if present else []
    indexes = {index["name"] for index in found}
    for index in INDEXES:
        if index.name not in indexes:
            yield str(CreateIndex(index).compile(engine))


def _take(engine: Engine, steps: list[str]) -> SQLAlchemyError | None:
    """Run each step in a transaction of its own; another worker may have been faster."""
    problem = None
    for step in steps:
        try:
            # In one transaction PostgreSQL would refuse every step after the first that fails.
            with engine.begin() as connection:
                # an index on a big table takes longer than an insert may
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SET LOCAL statement_timeout = '60s'"))
                connection.exec_driver_sql(step)
        except SQLAlchemyError as error:
            problem = error
    return problem


def _columns(engine: Engine) -> set[str]:
    inspector = inspect(engine)
    if not inspector.has_table(error_logs.name):
        return set()
    return {column["name"] for column in inspector.get_columns(error_logs.name)}
