"""The audit: who changed what on the admin pages, in the log and in the host's store."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proletto_otel.core.redaction.sanitise import get as sanitiser
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record.call_site import UNKNOWN
from proletto_otel.state.store import Store, StoreUnavailable
from proletto_otel.web.visitor import Visitor

LOGGER = "proletto.admin"
MAX_ROWS = 1000
"""Changes stored; the log has all of them."""
MAX_TEXT = 300
MAX_FAILURES = 10
"""What strangers did that is stored in a minute; the log has all of it."""
DDL = (
    """CREATE TABLE IF NOT EXISTS admin_audit (
        at REAL NOT NULL, who TEXT NOT NULL, way TEXT NOT NULL, action TEXT NOT NULL,
        target TEXT NOT NULL, detail TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS admin_audit_at ON admin_audit (at)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change."""

    at: float
    """Unix seconds."""
    who: str
    way: str
    """What let them in."""
    action: str
    target: str
    """The alert, error or channel it was done to."""
    detail: str


class Audit:
    """Writes changes down and reads them.

    Args:
        store: The host's store; None: changes are in the log alone.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES)
        if store is not None:
            store.define(*DDL)

    def add(self, visitor: Visitor, action: str, target: str, detail: str = "") -> None:
        """Write down that *visitor* did something."""
        self._store_row(self._logged(visitor, action, target, detail))

    def add_failure(self, visitor: Visitor, action: str, detail: str) -> None:
        """As `add`, for what strangers do: at most ten a minute push older rows out."""
        row, now = self._logged(visitor, action, "", detail), time.monotonic()
        if len(self._failures) < MAX_FAILURES or now - self._failures[0] > 60:
            self._failures.append(now)
            self._store_row(row)

    def _logged(self, visitor: Visitor, action: str, target: str, detail: str) -> dict[str, Any]:
        clean = sanitiser().text
        row = {
            "at": time.time(), "who": clean(visitor.name)[:MAX_TEXT], "way": visitor.way,
            "action": action, "target": clean(target)[:MAX_TEXT],
            "detail": clean(detail)[:MAX_TEXT],
        }  # fmt: skip
        facts: Mapping[str, Any] = {name: row[name] for name in ("who", "way", "target", "detail")}
        pipeline.emit(LOGGER, logging.INFO, f"admin: {action}", facts, None, UNKNOWN, 0)
        return row

    def _store_row(self, row: dict[str, Any]) -> None:
        if self._store is None:
            return
        try:
            with self._store.transaction() as db:
                db.execute(
                    "INSERT INTO admin_audit VALUES (:at, :who, :way, :action, :target, :detail)",
                    row,
                )
                db.execute(
                    "DELETE FROM admin_audit WHERE rowid <= (SELECT max(rowid) FROM admin_audit)"
                    f" - {MAX_ROWS}"
                )
        except StoreUnavailable:
            return

    def latest(self, limit: int = 50) -> list[AuditEntry]:
        """The latest changes, newest first."""
        if self._store is None:
            return []
        rows = self._store.query(
            "SELECT at, who, way, action, target, detail FROM admin_audit ORDER BY at DESC LIMIT ?",
            (limit,),
        )
        return [AuditEntry(**dict(row)) for row in rows]
