"""The SDK's part of tracing: provider, sampler, and the processor for child spans.

The SDK is imported here and in `request.otel_provider`, and only when the serving process
activates. Request spans are made in `request.span_start`; bytes travel through the queue of
`export`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from proletto_otel.core.after_import import after_import, forget
from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.request import id_generator, propagators
from proletto_otel.request.span_start import RequestTracer

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.sampling import Sampler

    from proletto_otel.request.otel_provider import Queue
    from proletto_otel.request.request_id_propagator import RequestIdPropagator

API = "opentelemetry.trace"
SCOPE = "proletto_otel"
ALWAYS = "parentbased_always_on"
"""The sampler whose answer is the caller's flag, or yes: nobody has to be asked."""

_COUNTS = (
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)  # fmt: skip
"""Variables that the SDK reads while it is imported, and raises on when they are no numbers."""


class Tracing:
    """Provider, propagators and the request tracer, tied together for one process.

    Args:
        config: the settings.
        tracer: starts the request spans; learns sampler and foreign processors from here.
        queue: takes encoded spans; `None`: traces are not exported.
        resource: attributes of the service, for SDK spans that others process.
        flush: sends what is queued within so many seconds.
    """

    name = "tracing"

    def __init__(
        self,
        config: Config,
        tracer: RequestTracer,
        queue: Queue | None,
        resource: Callable[[], Mapping[str, Any]] = dict,
        flush: Callable[[float], bool] = lambda seconds: True,
    ) -> None:
        self._config = config
        self._tracer = tracer
        self._queue = queue
        self._resource = resource
        self._flush = flush
        self._building = threading.RLock()
        self._started = False
        self.built: TracerProvider | None = None
        """The SDK's, if anything asked for it."""
        self.provider: trace.TracerProvider | None = None
        """The SDK's, or the one that becomes it; None before the start."""

    @cached_property
    def propagator(self) -> RequestIdPropagator:
        """Carries the request's ID to the allowed hosts."""
        from proletto_otel.request.request_id_propagator import RequestIdPropagator

        return RequestIdPropagator(self._config.propagate_hosts)

    def start(self) -> None:
        """Make everything ready in the serving process; again does nothing."""
        with self._building:  # a script's first span and the activation may come together
            if self._started:
                return
            self._started = True
            propagators.set_when_imported(self._config, self._tracer, lambda: self.propagator)
            if self._config.sdk_disabled:
                return
            if self._config.traces_sampler != ALWAYS or _asks_for_tracers():
                self.real_provider()
        # Without the lock: who imports the API holds that module's, and may wait for this one.
        after_import(API, lambda _: self._provide())

    def _provide(self) -> None:
        """Be the process's provider, as soon as anybody can ask for one."""
        from proletto_otel.request.lazy_provider import LazyProvider, become_global

        if self.provider is None:
            self.provider = LazyProvider(self, self._flush)
        become_global(self.provider)

    def real_provider(self) -> TracerProvider:
        """The SDK's provider, which imports the SDK; made once, and the global one from then on."""
        with self._building:
            if self.built is None:
                with without_misfits(os.environ):
                    self.built = self.build()
                from opentelemetry import trace

                if self.provider is not None and trace._TRACER_PROVIDER is self.provider:
                    trace._TRACER_PROVIDER = self.built
                self.provider = self.built
            return self.built

    def build(self) -> TracerProvider:
        """Make the provider; spans of its tracers go where request spans go."""
        return build_tracer_provider(
            self._config, self._queue, self._resource(), self._tracer, self._flush
        )

    def get_tracer(self, name: str = SCOPE) -> trace.Tracer:
        """A tracer of our provider; before the start, one that builds it with its first span."""
        from opentelemetry import trace  # first: with it comes the provider, if this has started

        if self.provider is None and not self._config.sdk_disabled:
            from proletto_otel.request.lazy_provider import EarlyTracer

            return EarlyTracer(self, name)
        return (self.provider or trace).get_tracer(name)

    def stop(self, deadline: float) -> None:
        """Foreign processors get their shutdown; ours has nothing of its own."""
        forget(propagators.API)
        forget(API)
        if self.built is not None:
            with suppressed("tracing.shutdown"):
                self.built.shutdown()

    def forked(self) -> None:
        """New IDs in the child; nothing else here is of a process."""
        self._building = threading.RLock()
        id_generator.reseed()


def _asks_for_tracers() -> bool:
    """Whether this program will, so that no later request waits for the import of the SDK."""
    if "opentelemetry.sdk.trace" in sys.modules:
        return True
    contrib = "opentelemetry.instrumentation"
    # Of the package alone, nothing does; it is asked first, as there are a thousand names.
    return contrib in sys.modules and any(n.startswith(f"{contrib}.") for n in tuple(sys.modules))


def build_tracer_provider(
    config: Config,
    queue: Queue | None,
    resource: Mapping[str, Any],
    tracer: RequestTracer,
    flush: Callable[[float], bool] = lambda seconds: True,
) -> TracerProvider:
    """Make an SDK provider that encodes spans with our encoder, and let *tracer* follow it."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import sampling

    from proletto_otel.request.otel_provider import EncodingProcessor, Provider, TailSampler

    tail = tracer.tail
    provider = Provider(
        sampler=_sampler(config) if tail is None else TailSampler(tail),
        resource=Resource(dict(resource)),
        shutdown_on_exit=False,
        id_generator=cast("Any", tracer.ids),
        span_limits=_limits(config),
    )
    # From then on requests get SDK spans, at six times the cost: a foreign processor reads what our
    # span does not have.
    provider.on_foreign = lambda: setattr(tracer, "sdk_tracer", provider.get_tracer(SCOPE))
    provider.add_span_processor(EncodingProcessor(queue, flush, tail))
    # The default needs no question for each request: its answer is the caller's flag, or yes.
    # Tail sampling is asked by the tracer itself.
    is_asked = tail is None and provider.sampler is not sampling.DEFAULT_ON
    tracer.sampler = provider.sampler if is_asked else None
    return provider


def _sampler(config: Config) -> Sampler:
    from opentelemetry.sdk.trace import sampling

    share = config.traces_sampler_arg
    named: dict[str, Callable[[], Sampler]] = {
        "always_on": lambda: sampling.ALWAYS_ON,
        "always_off": lambda: sampling.ALWAYS_OFF,
        "parentbased_always_on": lambda: sampling.DEFAULT_ON,
        "parentbased_always_off": lambda: sampling.DEFAULT_OFF,
        "traceidratio": lambda: sampling.TraceIdRatioBased(share),
        "parentbased_traceidratio": lambda: sampling.ParentBasedTraceIdRatio(share),
    }
    return named[config.traces_sampler]()


def _limits(config: Config) -> SpanLimits:
    from opentelemetry.sdk.trace import SpanLimits

    count, length = config.span_attribute_limit, config.attribute_length_limit
    return SpanLimits(
        max_attributes=count, max_span_attributes=count, max_event_attributes=128,
        max_link_attributes=128, max_events=128, max_links=128,
        max_attribute_length=length, max_span_attribute_length=length,
    )  # fmt: skip


@contextmanager
def without_misfits(environ: Any) -> Iterator[None]:
    """Hide variables on which importing the SDK would raise; the settings warned about them."""
    values = {name: environ[name] for name in _COUNTS if name in environ}
    hidden = {name: v for name, v in values.items() if v.strip() and not v.strip().isdecimal()}
    for name in hidden:
        del environ[name]
    try:
        yield
    finally:
        environ.update(hidden)
