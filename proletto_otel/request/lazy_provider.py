"""The tracer provider that a process has until somebody asks for a tracer.

Request spans need no SDK; importing it takes 13 to 20 ms and 3 MB. It is imported when a tracer, or
anything else of the SDK's provider (`add_span_processor`, `resource`), is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace

from proletto_otel.core.internal_errors import suppressed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


class Builder(Protocol):
    """Makes the SDK's provider, once; `request.otel_setup.Tracing` is one."""

    built: TracerProvider | None
    """The SDK's provider, if anything asked for it."""

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
