"""From what a caller said to a clean record: context, names, facts, blame.

Everything foreign is sanitised and redacted here, once. Where records go lives in
`logs.pipeline`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from proletto_otel.core import context as contexts
from proletto_otel.core import sanitise
from proletto_otel.core.context import RequestContext, current_request
from proletto_otel.core.conventions import LOG_FIELDS, ORIGINAL_LENGTH, TRUNCATED
from proletto_otel.core.exceptions import describe
from proletto_otel.core.trace_context import current_span
from proletto_otel.logs import reported
from proletto_otel.logs.record import Code, Record

MAX_KNOWN_TEXTS = 4096
MAX_KNOWN_LENGTH = 200
"""Event texts are mostly literals: short ones are cleaned once and remembered."""
ERROR = 40

_RESERVED = frozenset(LOG_FIELDS)
_get_ident = threading.get_ident
_time_ns = time.time_ns


class Process:
    """This process's number, known without a system call per record."""

    def __init__(self) -> None:
        self.look()

    def look(self) -> None:
        """Ask the system (after a fork)."""
        self.id = os.getpid()


this_process = Process()
os.register_at_fork(after_in_child=this_process.look)


class Builder:
    """Builds records.

    Args:
        environment: Of the application.
        breadcrumbs: Log events a request remembers for its error report.
    """

    def __init__(self, environment: str = "development", breadcrumbs: int = 0) -> None:
        self.environment = environment
        self.breadcrumbs = breadcrumbs
        self._known: dict[str, str] = {}

    def record(
        self,
        logger: str,
        level: int,
        event: str,
        fields: Mapping[str, Any],
        error: BaseException | None,
        code: Code,
        line: int,
        time_ns: int = 0,
    ) -> Record:
        """Build the clean record of `Pipeline.emit`; *logger* is a clean name."""
        context = current_request()
        facts = self._facts(fields, context)
        message = self._known.get(event)
        if message is None:
            message = self._clean(event, facts)
        record = Record(time_ns or _time_ns(), level, logger, message, facts)
        record.code, record.line = code, line
        record.module, record.function = code.module, code.function
        record.process_id, record.thread_id = this_process.id, _get_ident()
        record.environment = self.environment
        if context is not None:
            self._place(record, context)
        else:
            self._trace(record)
        if level >= ERROR or error is not None:
            self._blame(record, error, context)
        return record

    def _facts(self, fields: Mapping[str, Any], context: RequestContext | None) -> dict[str, Any]:
        bound = context.facts if context is not None else contexts.bound()
        if bound:
            fields = {**bound, **fields}
        if context is not None and context.user_id is not None and "user_id" not in fields:
            fields = {**fields, "user_id": context.user_id}
        if not fields:
            return {}
        clean = sanitise.get().fields(fields)
        if _RESERVED.isdisjoint(clean):
            return clean
        return rename_reserved(clean)

    def _clean(self, event: str, facts: dict[str, Any]) -> str:
        sanitiser = sanitise.get()
        clean = sanitiser.text(event)
        if len(event) > sanitiser.max_text:
            facts[TRUNCATED], facts[ORIGINAL_LENGTH] = True, len(event)
        if len(event) <= MAX_KNOWN_LENGTH:
            if len(self._known) >= MAX_KNOWN_TEXTS:
                self._known = {}
            self._known[event] = clean
        return clean

    def _place(self, record: Record, context: RequestContext) -> None:
        record.request_id = context.request_id
        span = current_span()
        if span is context.span or span is None:
            record.trace_id, record.span_id = context.trace_id, context.span_id
            record.flags = 1 if context.sampled and context.trace_id else 0
        else:
            self._trace(record)
        if self.breadcrumbs:
            crumbs = context.breadcrumbs
            if crumbs is None:
                crumbs = context.breadcrumbs = []
            if record.level >= ERROR:
                record.breadcrumbs = tuple(crumbs)
            crumbs.append(record)
            if len(crumbs) > self.breadcrumbs:
                del crumbs[0]

    @staticmethod
    def _trace(record: Record) -> None:
        span = current_span()
        if span is None:
            return
        found = span.get_span_context()
        if found.is_valid:
            record.trace_id = f"{found.trace_id:032x}"
            record.span_id = f"{found.span_id:016x}"
            record.flags = int(found.trace_flags) & 1

    @staticmethod
    def _blame(record: Record, error: BaseException | None, context: RequestContext | None) -> None:
        if error is not None:
            record.exception = describe(error)
            if record.level >= ERROR:
                record.fingerprint = record.exception.fingerprint
                reported.mark(error, context)
        else:
            record.fingerprint = reported.event_fingerprint(record)


def rename_reserved(facts: dict[str, Any]) -> dict[str, Any]:
    """Give facts that are named like a field of the record a trailing underscore."""
    renamed: dict[str, Any] = {}
    for key, value in facts.items():
        name = key
        if key in _RESERVED:
            name += "_"
            while name in facts or name in renamed:
                name += "_"
        renamed[name] = value
    return renamed
