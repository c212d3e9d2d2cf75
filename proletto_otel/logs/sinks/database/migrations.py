"""The table `error_logs` and an application's migrations: Alembic is to leave it alone.

Alembic compares the database with the application's models and writes `drop_table` for a table
that no model describes.
"""

from __future__ import annotations

from typing import Any

TABLE = "error_logs"


def include_object(
    item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
) -> bool:
    """Keep our table out of migrations: an `include_object` of Alembic and Flask-Migrate.

    >>> Migrate(app, db, include_object=include_object)  # doctest: +SKIP

    Args:
        item: The table, column, index or constraint that Alembic compares.
        name: Its name.
        kind: `table`, `column`, `index` …
        reflected: Whether it was found in the database.
        compare_to: The same one in the application's models, if they have it.

    Returns:
        False for our table, unless the application has a model of its own for it.
    """
    table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
    return not (reflected and compare_to is None and table == TABLE)
