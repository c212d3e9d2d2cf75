"""Builds the record of a log call: request IDs, clean texts and facts, error fields.

Everything foreign is sanitised and redacted here, once. Where records go lives in
`logs.pipeline`.
"""

from __future__ import annotations

import threading
import time
from typing import Any, cast

from proletto_otel.core import context as contexts
from proletto_otel.core.context import RequestContext, current_request
from proletto_otel.core.conventions import ORIGINAL_LENGTH, RESERVED_FACTS, TRUNCATED, USER
from proletto_otel.core.exceptions import describe
from proletto_otel.core.redaction import sanitise
from proletto_otel.core.trace_context import current_span
from proletto_otel.logs.record import already_logged, error_facts
from proletto_otel.logs.record.call_site import CallSite
from proletto_otel.logs.record.record import ErrorRecord, Record

MAX_KNOWN_TEXTS = 4096
MAX_KNOWN_LENGTH = 200
"""Event texts are mostly literals: short ones are cleaned once and remembered."""
ERROR = 40

_get_ident = threading.get_ident
_time_ns = time.time_ns


class Builder:
    """Builds records.

    Args:
        breadcrumbs: Log events a request remembers for its error report.
    """

    def __init__(self, breadcrumbs: int = 0) -> None:
        self.breadcrumbs = breadcrumbs
        self._known: dict[str, str] = {}

    def record(
        self,
        call_site: CallSite,
        event: str,
        fields: dict[str, Any],
        error: BaseException | None,
        time_ns: int = 0,
    ) -> Record:
        """Build the clean record of `Pipeline.emit_from`; *fields* may be part of it."""
        context = current_request()
        if error is not None:
            context = context or contexts.failed_in(error)
            # facts of the `capture_errors` blocks that the error passes; the call's own win
            outer = error_facts.enclosing()
            fields = {**outer, **fields} if outer else fields
        facts = self._facts(fields, context)
        # A literal was cleaned at its first record: redaction searches a text several times, this
        # is one look-up. A cut text is never cached, because its facts say so in each record.
        message = self._known.get(event)
        if message is None:
            message = self._clean(event, facts)
        request_id, trace_id, span_id, flags = self._request_fields(context)
        kind = Record if error is None and call_site.level < ERROR else ErrorRecord
        record = kind(
            time_ns or _time_ns(), call_site, message, facts, _get_ident(), request_id, trace_id,
            span_id, flags,
        )  # fmt: skip
        if isinstance(record, ErrorRecord):
            self._add_error_fields(record, error, context)
        if context is not None and self.breadcrumbs:
            crumbs = context.breadcrumbs
            if crumbs is None:
                crumbs = context.breadcrumbs = []
            crumbs.append(record)
            # a list, not a deque: with 10 items (the default) removing the first costs nothing
            if len(crumbs) > self.breadcrumbs:
                del crumbs[0]
        return record

    def _facts(self, fields: dict[str, Any], context: RequestContext | None) -> dict[str, Any]:
        bound = context.facts if context is not None else contexts.bound()
        if bound:
            fields = {**bound, **fields}
        if context is not None and context.user_id is not None and USER not in fields:
            fields = {**fields, USER: context.user_id}
        if not fields:
            return {}
        sanitiser = sanitise.get()
        # `leaves`: most facts are numbers and short words, which nothing has to be changed in
        clean = fields if sanitiser.leaves(fields) else sanitiser.fields(fields)
        if RESERVED_FACTS.isdisjoint(clean):
            return clean
        return rename_reserved(clean)

    def _clean(self, event: str, facts: dict[str, Any]) -> str:
        sanitiser = sanitise.get()
        clean = sanitiser.text(event)
        if len(event) > sanitiser.max_text:
            facts[TRUNCATED], facts[ORIGINAL_LENGTH] = True, len(event)
        if len(event) <= MAX_KNOWN_LENGTH:
            # A new table, none emptied: another thread may be looking something up in the old one.
            if len(self._known) >= MAX_KNOWN_TEXTS:
                self._known = {}
            self._known[event] = clean
        return clean

    @staticmethod
    def _request_fields(context: RequestContext | None) -> tuple[str, str, str, int]:
        """Request ID, trace ID, span ID and flags."""
        # Texts that the request's context holds already; a child span's IDs are numbers that have
        # to be formatted for each record.
        span = current_span()
        if context is None:
            return ("", *_ids(span))
        if span is context.span or span is None:
            trace_id = context.trace_id
            flags = 1 if trace_id and context.sampled else 0
            return context.request_id, trace_id, context.span_id, flags
        return (context.request_id, *_ids(span))

    @staticmethod
    def _add_error_fields(
        record: ErrorRecord, error: BaseException | None, context: RequestContext | None
    ) -> None:
        if error is not None:
            record.exception = describe(error)
            if record.level >= ERROR:
                record.fingerprint = record.exception.fingerprint
                already_logged.mark_logged(error, context)
        else:
            record.fingerprint = already_logged.event_fingerprint(record)
        if record.level >= ERROR and context is not None and context.breadcrumbs:
            record.breadcrumbs = tuple(cast("list[Record]", context.breadcrumbs))


def _ids(span: Any) -> tuple[str, str, int]:
    found = span.get_span_context() if span is not None else None
    if found is None or not found.is_valid:
        return "", "", 0
    return f"{found.trace_id:032x}", f"{found.span_id:016x}", int(found.trace_flags) & 1


def rename_reserved(facts: dict[str, Any]) -> dict[str, Any]:
    """Give facts that are named like a field of the record a trailing underscore."""
    renamed: dict[str, Any] = {}
    for key, value in facts.items():
        name = key
        if key in RESERVED_FACTS:
            name += "_"
            while name in facts or name in renamed:
                name += "_"
        renamed[name] = value
    return renamed
