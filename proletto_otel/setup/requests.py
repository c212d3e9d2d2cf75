"""Request telemetry of a process: span start, completion and metrics page, shared by its apps.

What one Flask application gets lives in `setup.flask_app`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from proletto_otel.core import exceptions
from proletto_otel.core.config import Config
from proletto_otel.core.conventions import PROBE_PATHS
from proletto_otel.core.installed import is_installed
from proletto_otel.core.internal_errors import log_rate_limited, suppressed
from proletto_otel.logs.intake.uncaught import raised_at
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record import already_logged
from proletto_otel.metrics import exposition
from proletto_otel.monitoring.request_summary import OwnRoutes
from proletto_otel.request import flask_adapter
from proletto_otel.request.attributes import RequestFacts
from proletto_otel.request.completion import Recorder, nothing
from proletto_otel.request.exchange import Exchange
from proletto_otel.request.labels import Ask, RequestLabels
from proletto_otel.request.middleware import Exclusions
from proletto_otel.request.otel_setup import Tracing
from proletto_otel.request.span import Limits
from proletto_otel.request.span_start import RequestTracer
from proletto_otel.request.tail_sampling import TailSampling
from proletto_otel.request.top_callers import TopCallers, merge
from proletto_otel.runtime.deferred_writer import Made
from proletto_otel.runtime.lifecycle import Component
from proletto_otel.setup.components import Components, sends_traces
from proletto_otel.web.metrics_page import SharedPage

if TYPE_CHECKING:
    from proletto_otel.request.top_callers import HourSection

ERROR = 40
MAX_HEADLINE = 200
"""Characters of an exception's message, and of a path, in the event of its record."""
GATHER_S = 1.0
"""How late a request is counted that no server closed, when no other request follows it."""


class RequestTelemetry(Component):
    """What starts and completes requests, and makes the metrics page."""

    name = "requests"

    def __init__(self, components: Components) -> None:
        config = components.config
        queue = components.exporter.traces if sends_traces(config) else None
        put = queue.put_many if queue is not None else None
        facts = RequestFacts()
        limits = Limits(
            attributes=config.span_attribute_limit, length=config.attribute_length_limit
        )
        self._tail = _tail_sampling(config, queue.sink) if queue is not None else None
        self.uses_contrib = _uses_contrib(config)
        make_tracer, make_recorder = (RequestTracer, Recorder)
        if self.uses_contrib:
            from proletto_otel.request.contrib import ContribRecorder, ContribTracer

            make_tracer, make_recorder = ContribTracer, ContribRecorder
        self.tracer = make_tracer(
            put,
            facts.values_at_start,
            trust_inbound=config.trust_inbound_trace,
            limits=limits,
            tail=self._tail,
        )
        self.callers = TopCallers(OwnRoutes(config.metrics_path, config.admin_prefix))
        self._snapshots = components.snapshots
        counts = bool(config.top_callers_days)
        # nobody counts them: what processes of before left is forgotten with the next fold
        self._snapshots.section("callers", self.callers.section, merge if counts else no_callers)
        self.recorder = make_recorder(
            put,
            facts,
            flask_adapter.route_of,
            components.route_stats,
            access=access_writer(components),
            defer=partial(pipeline.deferred.submit, to=self._complete),
            report=lambda error, exchange: report(config, error, exchange),
            callers=self.callers.add if counts else nothing,
            tail=self._tail,
        )
        self.tracing = Tracing(
            config, self.tracer, queue, components.resource.attributes, components.lifecycle.flush
        )
        self.exclusions = Exclusions(
            excluded_paths(config), config.excluded_urls, "/" + config.admin_prefix.strip("/")
        )
        self.page = SharedPage(lambda accept: exposed(components, accept))

        self._access_lines = line_maker(components)
        components.ticker.every(GATHER_S, "requests.gather", self.gather)

    def label_with(self, ask: Ask) -> None:
        """Add the labels that *ask* returns to the metrics of each request."""
        self.recorder.request_labels = RequestLabels(ask)

    def gather(self) -> None:
        """Complete the requests that no server closed the body of, and write what is deferred."""
        # In this order: a request that is completed hands in its span and its access line.
        self.recorder.gather()
        pipeline.deferred.flush()

    def all_callers(self) -> list[list[HourSection]]:
        """Users and clients of each worker; of this one up to the last request."""
        self.gather()
        self.callers.refresh()
        return self._snapshots.sections("callers")

    def _complete(self, exchanges: list[Exchange]) -> Made:
        """Count finished requests, once, and make their access lines."""
        # The lines are made all the same: a failure to count must not cost the access log.
        with suppressed("request.complete"):
            self.recorder.complete(exchanges)
        return self._access_lines(exchanges)

    def start(self) -> None:
        """Build OpenTelemetry's tracer provider."""
        self.tracing.start()

    def stop(self, deadline: float) -> None:
        """Close foreign span processors."""
        self.tracing.stop(deadline)

    def forked(self) -> None:
        """Reset in a child: new random IDs, and no request of the parent."""
        self.tracing.forked()
        self.recorder.forked()
        if self._tail is not None:
            self._tail.forked()
        self.callers.reset()
        self.page.forked()


def no_callers(sections: Iterable[list[HourSection]]) -> list[HourSection]:
    """In place of `top_callers.merge` where users and clients are not counted."""
    return []


def _tail_sampling(config: Config, sink: str) -> TailSampling | None:
    """What decides which traces are sent, unless all are or a sampler was asked for."""
    ratio = config.traces_keep_ratio
    if ratio >= 1:
        return None
    if "traces_sampler" in config.origins:
        log_rate_limited(
            "setup.sampling",
            "PROLETTO_TRACES_KEEP_RATIO=%s is without effect: OTEL_TRACES_SAMPLER is set",
            ratio,
        )
        return None
    tail = TailSampling(ratio, config.traces_slow_ms / 1000, sink=sink)
    pipeline.listen(lambda record: tail.keep(record.trace_id), logs=False)
    return tail


def _uses_contrib(config: Config) -> bool:
    if config.instrumentation != "contrib":
        return False
    found = is_installed("opentelemetry.instrumentation.flask")
    if not found:
        log_rate_limited(
            "setup.contrib",
            "PROLETTO_INSTRUMENTATION='contrib' needs `pip install 'proletto_otel[contrib]'`; "
            "using proletto",
        )
    return found


def excluded_paths(config: Config) -> list[str]:
    """Probes and scrapes: neither traced nor counted."""
    return [*PROBE_PATHS, *([config.metrics_path] if config.metrics_path else [])]


def access_writer(components: Components) -> Callable[[Exchange], None]:
    """Write the access line of a finished request."""
    log = components.logs.access
    return log.finished if log is not None else lambda exchange: None


def line_maker(components: Components) -> Callable[[list[Exchange]], Made]:
    """Make the access lines of finished requests, and say where they go."""
    log = components.logs.access
    return log.made if log is not None else lambda exchanges: ((), ())


def report(config: Config, error: BaseException, exchange: Exchange) -> None:
    """One log record of an exception that nobody handled, at the place that raised it."""
    # The application logged it: a second record would count the error twice.
    if already_logged.is_logged(error):
        return
    with suppressed("request.report"):
        facts = {"http.request.method": exchange.method, "url.path": exchange.path}
        code, line = raised_at(error)
        event = headline(error, exchange)
        pipeline.emit(config.app_name, ERROR, event, facts, error, code, line)


def headline(error: BaseException, exchange: Exchange) -> str:
    """`ZeroDivisionError: division by zero in GET /orders/7`: what a list of errors shows."""
    found = exceptions.describe(error)
    # One line: lists of errors and messages show it as their title.
    text = found.message.split("\n", 1)[0][:MAX_HEADLINE]
    name = f"{found.type}: {text}" if text else found.type
    return f"{name} in {exchange.method} {exchange.path[:MAX_HEADLINE]}"


def exposed(components: Components, accept: str) -> tuple[bytes, str]:
    """The page of all workers' metrics, made now."""
    return exposition.render(
        components.snapshots.merged(), accept, components.resource.attributes()
    )
