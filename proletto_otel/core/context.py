"""Who a log line, span or error belongs to: the request's ID, its trace, its user, its facts.

Set and reset by the request room; read by everyone. Propagation over the network lives in
`request.request_id_propagator`.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token, copy_context
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

MAX_BREADCRUMBS = 20
"""Log events a request remembers for its error report."""
MAX_FACTS = 64


class RequestContext:
    """One request or job, from its first byte to the close of its body."""

    __slots__ = (
        "breadcrumbs", "error", "facts", "method", "path", "request_id", "route",
        "sampled", "span", "span_id", "trace_id", "user_id",
    )  # fmt: skip

    def __init__(self, request_id: str, trace_id: str = "", span_id: str = "") -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        """32 hex digits, or empty."""
        self.span_id = span_id
        """16 hex digits of the request's span, or empty."""
        self.sampled = True
        self.span: Any = None
        """The OpenTelemetry span of the request."""
        self.user_id: str | None = None
        self.facts: dict[str, Any] | None = None
        """What `bind` added; on every later line of the request."""
        self.breadcrumbs: list[object] | None = None
        """Its latest log records, which `logs.record.builder` adds and reads."""
        self.error: BaseException | None = None
        """The exception that was already reported, so that it is reported once."""
        self.route: str | None = None
        self.method = ""
        self.path = ""


_current: ContextVar[RequestContext | None] = ContextVar("proletto_request", default=None)
_loose: ContextVar[Mapping[str, Any] | None] = ContextVar("proletto_facts", default=None)

current_request: Callable[[], RequestContext | None] = _current.get
"""The request or job being served here, if any."""


def enter(context: RequestContext) -> Token[RequestContext | None]:
    """Make *context* the current one; give the token to `leave`."""
    return _current.set(context)


def leave(token: Token[RequestContext | None]) -> None:
    """Undo `enter`; in another context (a thread took over) the variable is cleared instead."""
    try:
        _current.reset(token)
    except ValueError:
        _current.set(None)


def request_id() -> str | None:
    """The current request ID."""
    context = _current.get()
    return context.request_id if context is not None else None


def bind(**facts: Any) -> None:
    """Add *facts* to every later log line of this request, job or context; at most 64."""
    context = _current.get()
    if context is None:
        # A new mapping each time: threads and tasks that copied the context hold the old one.
        _loose.set({**(_loose.get() or {}), **facts})
        return
    if context.facts is None:
        context.facts = {}
    if len(context.facts) < MAX_FACTS:
        context.facts.update(facts)


def unbind(*names: str) -> None:
    """Take facts back that `bind` added."""
    context = _current.get()
    if context is None:
        _loose.set({k: v for k, v in (_loose.get() or {}).items() if k not in names})
    elif context.facts:
        for name in names:
            context.facts.pop(name, None)


def bound() -> Mapping[str, Any]:
    """The facts of `bind` that hold here."""
    context = _current.get()
    facts = context.facts if context is not None else _loose.get()
    return facts or {}


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap *function* so that a thread or executor runs it under this request's ID.

    >>> executor.submit(carry(send_receipt), order_id)  # doctest: +SKIP
    """
    context = copy_context()

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # a Context can be entered once at a time; a copy lets many threads share the wrapper
        return context.copy().run(function, *args, **kwargs)

    return run


@contextmanager
def background(request_id: str | None = None, **facts: Any) -> Iterator[RequestContext]:
    """Give a job outside any request (cron, queue worker) an ID of its own.

    >>> with background(queue="mail"):  # doctest: +SKIP
    ...     send_all()
    """
    trace_id = f"{random.getrandbits(128):032x}"
    context = RequestContext(request_id or trace_id)
    context.facts = dict(facts)
    token = enter(context)
    try:
        yield context
    except BaseException as error:
        # The error keeps the context as an attribute: whoever logs it does so after `leave`.
        if failed_in(error) is None:
            with suppress(Exception):  # an exception class that refuses attributes
                setattr(error, _FAILED_IN, context)
        raise
    finally:
        leave(token)


_FAILED_IN = "__proletto_failed_in__"


def failed_in(error: BaseException) -> RequestContext | None:
    """The job that *error* ended; code outside of it (Celery, a scheduler) logs the error."""
    try:
        found = getattr(error, _FAILED_IN, None)
    except Exception:  # a class with a hostile __getattr__
        return None
    return found if isinstance(found, RequestContext) else None
