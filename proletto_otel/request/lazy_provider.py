"""The tracer provider that a process has until somebody asks for a tracer.

Request spans need no SDK; importing it takes 13 to 20 ms and 3 MB. It is imported when a tracer, or
anything else of the SDK's provider (`add_span_processor`, `resource`), is asked for. This module is
imported together with the API.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace

from proletto_otel.core.internal_errors import log_rate_limited, suppressed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class Builder(Protocol):
    """Makes the SDK's provider, once; `request.otel_setup.Tracing` is one."""

    built: TracerProvider | None
    """The SDK's provider, if anything asked for it."""

    def start(self) -> None:
        """Make everything ready; again does nothing."""

    def real_provider(self) -> TracerProvider:
        """The SDK's provider, built now if it was not."""


class LazyProvider(trace.TracerProvider):
    """Becomes the SDK's provider at the first question that only that one can answer.

    Who holds this object keeps it: every question goes on to the real one.

    Args:
        builder: Makes the real provider.
        flush: Sends what is queued within so many seconds.
    """

    def __init__(self, builder: Builder, flush: Callable[[float], bool]) -> None:
        self._builder = builder
        self._flush = flush

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """A tracer of the SDK."""
        return self._builder.real_provider().get_tracer(*args, **kwargs)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is queued within that time."""
        # Nothing is built for it, nor for a shutdown: both come when the interpreter ends.
        built = self._builder.built
        if built is None:
            return self._flush(timeout_millis / 1000)
        return built.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Close foreign processors."""
        if self._builder.built is not None:
            self._builder.built.shutdown()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `copy` and `inspect` ask whether there is such a method
            raise AttributeError(name)
        return getattr(self._builder.real_provider(), name)

    # `isinstance(get_tracer_provider(), TracerProvider)` is how programs find out whether they may
    # add a processor. Who can ask has imported the SDK already.
    @property  # type: ignore[misc]  # `type(self)` stays what it is
    def __class__(self) -> type:
        with suppressed("tracing.class"):
            if "opentelemetry.sdk.trace" in sys.modules:
                return type(self._builder.real_provider())
        return LazyProvider


class EarlyTracer(trace.Tracer):
    """A tracer taken before the start: a process that makes a span needs the provider now.

    A script's spans would be lost otherwise; threads still begin with the process's activation.
    """

    def __init__(self, tracing: Builder, name: str) -> None:
        self._tracing = tracing
        self._name = name
        self._found: trace.Tracer | None = None

    def _real(self) -> trace.Tracer:
        if self._found is None:
            self._tracing.start()
            self._found = self._tracing.real_provider().get_tracer(self._name)
        return self._found

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        """Start a span as the SDK's tracer does."""
        return self._real().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """As of the SDK's tracer: a context manager and a decorator."""
        return self._real().start_as_current_span(*args, **kwargs)


def become_global(provider: trace.TracerProvider) -> None:
    """Be the process's provider, unless a library was first: then only requests are ours."""
    held = trace._TRACER_PROVIDER  # the public getter would build one
    if held is None:
        trace.set_tracer_provider(provider)
    elif type(held).__module__.startswith("proletto_otel"):  # of a set-up that was undone (tests)
        trace._TRACER_PROVIDER = provider
    elif held is not provider:
        log_rate_limited(
            "tracing.provider",
            "another OpenTelemetry TracerProvider (%s) is set: request spans are ours, spans of"
            " other instrumentations stay with it",
            type(held).__module__,
        )
