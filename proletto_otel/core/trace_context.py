"""OpenTelemetry's current context and span, at the cost of one look into a context variable.

The API asks its configured runtime context through two more calls, which is felt where every
request and every log line pays for it. A runtime context without such a variable is asked the
public way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

_variable = getattr(context_api._RUNTIME_CONTEXT, "_current_context", None)
enter_trace = context_api.attach if _variable is None else _variable.set
current_trace = context_api.get_current if _variable is None else _variable.get
leave_trace = context_api.detach if _variable is None else _variable.reset

(SPAN_KEY,) = trace.set_span_in_context(trace.INVALID_SPAN, Context())
"""Where a context keeps its span, learned through the public way."""

SUPPRESSION_KEYS = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
"""What instrumented database drivers and HTTP clients look for; private names, so each may go."""


def current_span() -> Any:
    """The current span, `None` when there is none."""
    return current_trace().get(SPAN_KEY)


@contextmanager
def without_instrumentation() -> Iterator[None]:
    """Requests and statements inside make no spans."""
    context = context_api.get_current()
    for name in SUPPRESSION_KEYS:
        if key := getattr(context_api, name, None):
            context = context_api.set_value(key, True, context)
    token = context_api.attach(context)
    try:
        yield
    finally:
        context_api.detach(token)
