"""A record that was written as JSON and read again: what its fields are called in programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proletto_otel.core import conventions as c
from proletto_otel.core.lazy_pattern import lazy_pattern

_REQUEST_FACT = lazy_pattern(r"(http|url|client|server|network|user_agent)\.|duration_ms$")
_NO_FACTS = frozenset((*c.LOG_FIELDS, c.USER, c.COMPONENT))


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """A log record as its JSON line has it."""

    at: float
    """Unix time."""
    record: Mapping[str, Any]
    """Every field and fact of the line."""

    @property
    def message(self) -> str:
        """The event."""
        return self._text(c.MESSAGE)

    @property
    def level(self) -> str:
        """Name of the level."""
        return self._text(c.LEVEL)

    @property
    def logger(self) -> str:
        """Name of the logger."""
        return self._text(c.LOGGER_NAME)

    @property
    def component(self) -> str:
        """The part of the application, where the call names it."""
        return self._text(c.COMPONENT)

    @property
    def environment(self) -> str:
        """Of the application."""
        return self._text(c.ENVIRONMENT)

    @property
    def call(self) -> str:
        """`module.function:line` of the log call; empty where it is not known."""
        module, function, line = (self._text(n) for n in (c.MODULE, c.FUNCTION, c.LINE))
        return f"{module}.{function}:{line}" if function else ""

    @property
    def process_id(self) -> str:
        """The worker."""
        return self._text(c.PROCESS_ID)

    @property
    def request_id(self) -> str:
        """Empty outside a request."""
        return self._text(c.REQUEST_ID)

    @property
    def trace_id(self) -> str:
        """32 hex digits or empty."""
        return self._text(c.TRACE_ID)

    @property
    def span_id(self) -> str:
        """16 hex digits or empty."""
        return self._text(c.SPAN_ID)

    @property
    def fingerprint(self) -> str:
        """16 hex digits on errors, else empty."""
        return self._text(c.LOG_FINGERPRINT)

    @property
    def user(self) -> str:
        """Who was served; empty where it is not known."""
        return self._text(c.USER)

    @property
    def type(self) -> str:
        """Qualified type of the exception; empty without one."""
        return str(self._exception.get("type") or "")

    @property
    def error_message(self) -> str:
        """The exception's text."""
        return str(self._exception.get("message") or "")

    @property
    def traceback(self) -> tuple[str, ...]:
        """The lines of the traceback, as the standard library writes them."""
        lines = self._exception.get("traceback")
        is_list = isinstance(lines, Sequence) and not isinstance(lines, str)
        return tuple(str(line) for line in lines or ()) if is_list else ()

    @property
    def request(self) -> dict[str, Any]:
        """Facts of the request: method, path, status, client."""
        return {k: v for k, v in self.record.items() if _REQUEST_FACT.match(k)}

    @property
    def facts(self) -> dict[str, Any]:
        """The caller's other facts."""
        return {
            k: v
            for k, v in self.record.items()
            if k not in _NO_FACTS and not _REQUEST_FACT.match(k)
        }

    @property
    def _exception(self) -> Mapping[str, Any]:
        found = self.record.get(c.EXCEPTION)
        return found if isinstance(found, Mapping) else {}

    def _text(self, name: str) -> str:
        value = self.record.get(name)
        return "" if value is None else str(value)
