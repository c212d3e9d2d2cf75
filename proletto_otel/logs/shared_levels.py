"""Levels of loggers that an operator changes for all workers of the host, for a while.

They are stored in the host's store with the time at which they end; each worker applies them
(`logs.level_overrides`) when `state.control` says that something changed, and ends them itself.
"""

from __future__ import annotations

import difflib
import logging
import time
from collections.abc import Callable
from typing import Any

from proletto_otel.core import parsing
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.record import record
from proletto_otel.logs.level_overrides import LevelOverrides, StdlibLevels, known_loggers
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.state.control import NEVER, HostControl
from proletto_otel.state.store import Store

DDL = (
    "CREATE TABLE IF NOT EXISTS log_levels (name TEXT PRIMARY KEY, level INTEGER NOT NULL,"
    " at REAL NOT NULL, until REAL NOT NULL, by TEXT NOT NULL) WITHOUT ROWID",
)
DEFAULT_S = 1800.0
MIN_S, MAX_S = 10.0, 86_400.0
"""A DEBUG level that nobody ends fills disks."""
MAX_LEVELS = 50
"""Loggers with another level at the same time."""
MAX_NAME = 200
MAX_TEXT = 200
MAX_NAMED = 5
"""Loggers that an error message suggests."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_NAME = lazy_pattern(r"[^\s\x00-\x1f\x7f.]+(\.[^\s\x00-\x1f\x7f.]+)*")


@record(frozen=True, slots=True, kw_only=True)
class LogLevel:
    """The level of one logger for a while."""

    name: str
    """The logger's."""
    level: str
    """Its lowest level that is recorded: `DEBUG`."""
    at: float
    """When it was set, unix seconds."""
    until: float
    """When it ends, unix seconds."""
    by: str
    """Who set it."""


class SharedLevels:
    """Sets, ends and applies the levels.

    Args:
        store: The host's store.
        control: Tells the other workers.
        to: The pipeline of this process.
        now: Unix seconds.
    """

    def __init__(
        self, store: Store, control: HostControl, to: Pipeline,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store = store
        self._control = control
        self._pipeline = to
        self._now = now
        self._stdlib = StdlibLevels()
        store.define(*DDL)
        control.listen(self._apply)

    def current(self) -> list[LogLevel]:
        """The levels that hold, by name."""
        rows = self._store.query(
            "SELECT * FROM log_levels WHERE until > ? ORDER BY name", (self._now(),)
        )
        return [LogLevel(**{**dict(row), "level": logging.getLevelName(row["level"])})
                for row in rows]  # fmt: skip

    def set(
        self, name: str, level: str, by: str, seconds: float = DEFAULT_S, *, unknown: bool = False
    ) -> LogLevel:
        """Give the logger *name* another level in all workers of the host.

        Args:
            name: Of one of the standard library's loggers or of ours; `root`: of all others.
            level: `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`.
            by: Who does it.
            seconds: After this time the level from before comes back; 10 to 86,400.
            unknown: Also for a logger that does not exist in this worker (yet).

        Raises:
            ConfigError: for a name, level or time that does not fit, or without a store.
        """
        made = LogLevel(
            name=_checked_name(name, unknown), level=_checked_level(level), at=self._now(),
            until=self._now() + _checked_seconds(seconds), by=str(by)[:MAX_TEXT],
        )  # fmt: skip
        others = [held.name for held in self.current() if held.name != made.name]
        if len(others) >= MAX_LEVELS:
            raise ConfigError(f"{MAX_LEVELS} loggers have another level already: reset one first")
        stored = self._store.write(
            "INSERT OR REPLACE INTO log_levels VALUES (?, ?, ?, ?, ?)",
            [(made.name, getattr(logging, made.level), made.at, made.until, made.by)],
        )
        if not stored:
            raise ConfigError("it could not be stored: the host's store cannot be written")
        self._control.announce()
        return made

    def reset(self, name: str) -> bool:
        """Give the logger its own level back; return whether it had another one."""
        held = any(level.name == name for level in self.current())
        self._store.write("DELETE FROM log_levels WHERE name = ?", [(name,)])
        self._control.announce()
        return held

    def end(self) -> None:
        """Give all loggers of this process their own level back (tests, a second set-up)."""
        self._use({})

    def _apply(self) -> float:
        """Read what holds, and let this process hold to it; when to look again."""
        now = self._now()
        rows = self._store.select("SELECT name, level, until FROM log_levels")
        holding = {row["name"]: row["level"] for row in rows if row["until"] > now}
        if len(holding) < len(rows):
            self._store.write("DELETE FROM log_levels WHERE until <= ?", [(now,)])
        self._use(holding)
        return min((row["until"] for row in rows if row["until"] > now), default=NEVER)

    def _use(self, levels: dict[str, int]) -> None:
        self._stdlib.apply(levels)
        self._pipeline.overrides = LevelOverrides(levels) if levels else None


def _checked_name(name: Any, unknown: bool) -> str:
    if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise ConfigError.of("logger", name, "a logger's name, such as shop.payments, or root")
    known = known_loggers()
    if not unknown and name not in known:
        near = difflib.get_close_matches(name, known, MAX_NAMED, 0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"logger={name!r}: this worker has no logger of that name{meant} (one that is made"
            " later can be set all the same: say so)"
        )
    return name


def _checked_level(level: Any) -> str:
    word = str(level).strip().upper()
    if word not in LEVELS:
        raise ConfigError.of("level", level, f"one of {', '.join(LEVELS)}")
    return word


def _checked_seconds(seconds: Any) -> float:
    try:
        return float(parsing.number(MIN_S, MAX_S)(seconds))
    except parsing.InvalidValue:
        raise ConfigError.of(
            "seconds", seconds, f"from {MIN_S:.0f} to {MAX_S:,.0f} (24 hours)"
        ) from None
