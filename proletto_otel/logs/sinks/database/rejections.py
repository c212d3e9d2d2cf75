"""What a failed statement means: are these rows refused, or is the database not ready for any?

Needs SQLAlchemy, imported on first use. Writing lives in `logs.sinks.database.sink`.
"""

from __future__ import annotations

MYSQL_REJECTIONS = (1364, 1366, 1406, 3140, 3819, 4025)
"""Errors about one row that drivers report as operational: a column without default, a character
outside the column's charset, too long a text, invalid JSON, a violated CHECK of MySQL and of
MariaDB. Source: the error references of both servers."""
MYSQL_DRIVERS = ("pymysql", "MySQLdb", "mysql")


def is_rejection(error: Exception) -> bool:
    """The database is well and refuses these rows; anything else may pass with time."""
    from sqlalchemy import exc

    if isinstance(error, exc.DBAPIError):
        # A lost connection may look like any error; the rows come again.
        if error.connection_invalidated:
            return False
        driver = type(error.orig).__module__.split(".")[0]
        code = next(iter(getattr(error.orig, "args", ())), None)
        if driver in MYSQL_DRIVERS and code in MYSQL_REJECTIONS:
            return True
    return isinstance(error, exc.StatementError) and not isinstance(
        error, (exc.OperationalError, exc.InterfaceError)
    )


def words(error: Exception) -> str:
    """What went wrong, without statement, parameters or URL."""
    inner = getattr(error, "orig", None) or error
    return f"{type(inner).__name__}: {str(inner).splitlines()[0] if str(inner) else ''}"[:300]
