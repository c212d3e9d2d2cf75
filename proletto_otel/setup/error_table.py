"""The error table of an application's database as a source of log searches, made with the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proletto_otel.core.config import Config

if TYPE_CHECKING:
    from proletto_otel.logs.search.stored_errors import ErrorSource


def error_table(db: Any, config: Config, app: Any) -> Callable[[], ErrorSource]:
    """Makes the source: nothing of a search is imported at set-up."""

    def make() -> ErrorSource:
        from proletto_otel.logs.sinks.database.search import ErrorTable

        return ErrorTable(db, config, app)

    return make
