"""The provider of a process: built late, global when nobody was first, robust to bad settings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proletto_otel.request.otel_setup import build_tracer_provider
from tests.request.conftest import Rig
from tests.waiting import PATIENCE_S

SCRIPT = """
import logging, sys
logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
from opentelemetry import trace
BEFORE
from proletto_otel.core import config
from proletto_otel.export.memory import MemoryExporter
from proletto_otel.request.attributes import RequestFacts
from proletto_otel.request.span_start import RequestTracer
from proletto_otel.request.otel_setup import Tracing
import os
settings, warnings = config.load({}, {}, os.environ)
queue = MemoryExporter()
tracer = RequestTracer(queue.traces.put_many, RequestFacts().values_at_start)
tracing = Tracing(settings, tracer, queue.traces)
early = tracing.get_tracer("early")
assert "opentelemetry.sdk.trace" not in sys.modules or BEFORE_TEXT
tracing.start()
tracing.start()
AFTER
"""


def run(after: str, before: str = "", **environment: str) -> str:
    """Run a process that starts tracing; give what it printed, errors included."""
    source = SCRIPT.replace("BEFORE_TEXT", repr(before)).replace("BEFORE", before)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source.replace("AFTER", after)],
        capture_output=True, text=True, timeout=PATIENCE_S, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_provider_becomes_the_global_one() -> None:
    """Spans of other instrumentations, tracers taken before the start included, are exported."""
    said = run(
        "early.start_span('early').end()\n"
        "trace.get_tracer('any').start_span('any').end()\n"
        "print([s['name'] for s in queue.spans()])"
    )

    assert said == "['early', 'any']\n"


def test_child_of_a_fork_lives_whatever_was_imported_when() -> None:
    """The SDK's own hook would wait for a lock that is held during the fork."""
    said = run(
        "from proletto_otel.metrics.app_instruments import UserMetrics\n"
        "UserMetrics().get_meter('shop').create_counter('shop.sold').add(1)\n"
        "import concurrent.futures.thread, signal\n"
        "if (child := os.fork()) == 0:\n"
        "    trace.get_tracer('x').start_span('in the child').end()\n"
        "    os._exit(7)\n"
        "signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))\n"
        "signal.alarm(20)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )

    assert said == "7\n"


def test_provider_of_another_library_stays() -> None:
    """It stays in its place, with one log line; requests are still ours."""
    said = run(
        "print(type(trace.get_tracer_provider()).__name__, tracing.provider is not None)",
        before="from opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider())",
    )

    assert said.count("WARNING another OpenTelemetry TracerProvider") == 1
    assert "TracerProvider True" in said


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_PROPAGATORS", "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG", "OTEL_BSP_MAX_QUEUE_SIZE",
    ],
)  # fmt: skip
def test_garbage_in_a_variable_never_stops_the_start(name: str) -> None:
    """The SDK raises on some of these when it is imported; the process starts all the same."""
    said = run(f"print(tracing.provider is not None, os.environ[{name!r}])", **{name: "garbage"})

    assert "True garbage\n" in said


def test_disabled_sdk_is_not_even_imported() -> None:
    """`OTEL_SDK_DISABLED=true` leaves IDs and propagation, and no SDK."""
    said = run(
        "print(tracing.provider, 'opentelemetry.sdk.trace' in sys.modules)",
        OTEL_SDK_DISABLED="true",
    )

    assert said == "None False\n"


def test_limits_reaches_stock_spans() -> None:
    """Child spans have the configured limits too."""
    said = run(
        "span = trace.get_tracer('x').start_span('x', attributes={'a': 'xyz', 'b': 1})\n"
        "print(dict(span.attributes))",
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="1",
    )

    assert "{'b': 1}" in said


def test_flush_of_the_provider_reaches_the_queue() -> None:
    """`trace.get_tracer_provider().force_flush()` sends what is queued."""
    said = run(
        "flush = lambda seconds: print(round(seconds)) or True\n"
        "again = Tracing(settings, tracer, queue.traces, flush=flush)\n"
        "print(again.build().force_flush(2000))"
    )

    assert said == "2\nTrue\n"


def test_shutdown_reaches_foreign_processors() -> None:
    """A vendor's exporter added by the application is closed with us."""
    said = run(
        "from opentelemetry.sdk.trace import SpanProcessor\n"
        "class Theirs(SpanProcessor):\n"
        "    def shutdown(self): print('closed')\n"
        "tracing.provider.add_span_processor(Theirs())\n"
        "tracing.stop(0.0)"
    )

    assert said == "closed\n"


def test_child_spans_are_redacted(rig: Rig) -> None:
    """URLs, statements and exceptions of other instrumentations lose their secrets too."""
    tracer = rig.provider.get_tracer("client")
    url = "https://api.example/?token=hunter2hunter2"

    def call() -> None:
        with tracer.start_as_current_span("GET") as span:
            span.set_attributes({"url.full": url, "password": "hunter2", "n": 3})
            span.add_event("sent", {"api_key": "hunter2"})
            raise ValueError("password=hunter2")

    with pytest.raises(ValueError, match="hunter2"):
        call()

    (child,) = rig.spans
    # the traceback quotes this file, where the word stands; what it was called with is redacted
    stack = child["events"][1]["attributes"].pop("exception.stacktrace")
    assert "hunter2" not in str(child)
    assert "ValueError: password=[redacted]" in stack
    assert child["attributes"]["n"] == 3
    assert "\n" in stack
    assert child["status"] == "ERROR"


def test_child_spans_keep_their_scope(rig: Rig) -> None:
    """The name of the instrumentation travels beside its spans; ours needs none."""
    seen: list[bytes] = []

    class Keeping:
        def put(self, item: bytes, scope: bytes = b"") -> None:
            seen.append(scope)

    provider = build_tracer_provider(rig.config, Keeping(), {}, rig.tracer)
    provider.get_tracer("their.client", "2.1").start_span("GET").end()
    provider.get_tracer("proletto_otel").start_span("job").end()

    assert [True, False] == [b"their.client" in scope for scope in seen]
    assert seen[1] == b""


def test_requests_alone_need_no_sdk() -> None:
    """It is imported when a tracer is asked for, which then is the SDK's."""
    said = run(
        "print('opentelemetry.sdk.trace' in sys.modules)\n"
        "trace.get_tracer_provider().force_flush()\n"
        "tracing.stop(0.0)\n"
        "print('opentelemetry.sdk.trace' in sys.modules)\n"
        "trace.get_tracer('their.client').start_span('GET').end()\n"
        "print([s['name'] for s in queue.spans()])"
    )

    assert said == "False\nFalse\n['GET']\n"


def test_processor_of_a_program_finds_the_provider_of_the_sdk() -> None:
    """A provider taken before is the SDK's for `isinstance`, and request spans are shown to it."""
    said = run(
        "taken = trace.get_tracer_provider()\n"
        "from opentelemetry.sdk.trace import SpanProcessor, TracerProvider\n"
        "print(isinstance(taken, TracerProvider), tracer.sdk_tracer)\n"
        "taken.add_span_processor(SpanProcessor())\n"
        "print(tracer.sdk_tracer is not None, taken.resource is not None)\n"
        "print(type(trace.get_tracer_provider()).__mro__[1] is TracerProvider)"
    )

    assert said == "True None\nTrue True\nTrue\n"


@pytest.mark.parametrize("sampler", ["always_off", "traceidratio"])
def test_sampler_of_the_sdk_is_asked_from_the_first_request_on(sampler: str) -> None:
    """A setting that needs the SDK imports it at the start."""
    said = run("print(tracer.sampler is not None)", OTEL_TRACES_SAMPLER=sampler)

    assert said == "True\n"


def test_instrumented_program_gets_the_sdk_at_the_start() -> None:
    """Its libraries make spans: no request waits for the import."""
    said = run(
        "print('opentelemetry.sdk.trace' in sys.modules)",
        before="import opentelemetry.instrumentation.instrumentor",
    )

    assert said == "True\n"
