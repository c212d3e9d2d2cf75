"""OpenTelemetry's current context and span, at the cost of one look into a context variable.

The API asks its configured runtime context through two more calls, which is felt where every
request and every log line pays for it. A runtime context without such a variable is asked the
public way.

The API of contexts is small; that of traces costs a program's start as much as a whole room. So
spans are put under a key of our own, and the API of traces takes it over when somebody imports it:
what is current then is current for it, too, in all threads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context

from proletto_otel.core.after_import import after_import

_variable = getattr(context_api._RUNTIME_CONTEXT, "_current_context", None)
enter_trace = context_api.attach if _variable is None else _variable.set
current_trace = context_api.get_current if _variable is None else _variable.get
leave_trace = context_api.detach if _variable is None else _variable.reset

API = "opentelemetry.trace.propagation"
"""Where the API of traces keeps the key of the current span, and reads it at each call."""
span_key = context_api.create_key("current-span")
"""Where a context keeps its span; changes once, when the API was there before us."""
_span_types: list[type] = []
_joined = False

SUPPRESSION_KEYS = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
"""What instrumented database drivers and HTTP clients look for; private names, so each may go."""


def current_span() -> Any:
    """The current span, `None` when there is none."""
    return current_trace().get(span_key)


def is_a_span(kind: type) -> type:
    """Make *kind* one of the API's spans, now or when the API is imported (a decorator)."""
    _span_types.append(kind)
    if _joined:
        sys.modules[API].Span.register(kind)
    return kind


def _join(propagation: Any, *, was_first: bool) -> None:
    """Have one key with the API: its own if it was there first, else ours."""
    global span_key, _joined  # of the process, as is the API's
    if not was_first and hasattr(propagation, "_SPAN_KEY"):
        propagation._SPAN_KEY = span_key
    # Learned through the public way: with a release that keeps its key elsewhere, only requests
    # that began before it was imported lose their current span.
    (span_key,) = propagation.set_span_in_context(None, Context())
    for kind in _span_types:
        propagation.Span.register(kind)
    _joined = True


_was_first = API in sys.modules
after_import(API, lambda module: _join(module, was_first=_was_first))


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
