"""OpenTelemetry's API of traces is imported when somebody needs it, and is then told of all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.trace import TraceState

from proletto_otel.request.propagation import valid_trace_state
from tests.otlp_sink import ROOT
from tests.waiting import PATIENCE_S

PROGRAM = """
import sys, threading
import flask
BEFORE
from proletto_otel import setup_telemetry
from proletto_otel.core.context import current_request
app = flask.Flask("shop")
telemetry = setup_telemetry(app)
assert BEFORE_TEXT or "opentelemetry.trace" not in sys.modules
inside, imported = threading.Event(), threading.Event()

@app.route("/waits")
def waits():
    inside.set()
    assert imported.wait(60)
    return hexes()

@app.route("/imports")
def imports():
    return hexes()

def hexes():
    from opentelemetry import trace
    span = trace.get_current_span()
    assert isinstance(span, trace.Span) and span.is_recording()
    assert span.kind is trace.SpanKind.SERVER
    own = current_request()
    found = span.get_span_context()
    with trace.get_tracer("x").start_as_current_span("child") as child:
        assert child.parent.span_id == found.span_id, child.parent
        assert child.get_span_context().trace_id == found.trace_id
    assert trace.get_current_span() is span is own.span
    return f"{found.trace_id:032x}" + str(own.trace_id == f"{found.trace_id:032x}")

answers = {}
def ask(path):
    answers[path] = app.test_client().get(path).text
other = threading.Thread(target=ask, args=("/waits",))
other.start()
assert inside.wait(60)
ask("/imports")
imported.set()
other.join()
assert len(answers) == 2
assert all(text.endswith("True") for text in answers.values()), answers
from opentelemetry import trace
print(type(trace.get_tracer_provider()).__module__)
"""


@pytest.mark.parametrize("before", ["", "from opentelemetry import trace"])
def test_requests_under_way_have_their_span_when_the_api_is_imported(
    tmp_path: Path, before: str
) -> None:
    """The current span and the provider are ours in all threads, whoever imports the API when."""
    source = PROGRAM.replace("BEFORE_TEXT", repr(before)).replace("BEFORE", before)
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, env={"LOG_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "proletto_otel.request.otel_provider" in done.stdout


WITHIN_A_SPAN = """
from opentelemetry import trace
from proletto_otel.core.trace_context import current_span
span = trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)
with trace.use_span(span):
    assert current_span() is span is trace.get_current_span()
"""


@pytest.mark.parametrize("late", [False, True])
def test_log_lines_of_a_program_without_requests_know_its_span(late: bool) -> None:
    """The key of the current span is the API's own where it was imported first, else ours."""
    source = WITHIN_A_SPAN
    if late:
        source = "import proletto_otel.core.trace_context" + source
    subprocess.run([sys.executable, "-c", source], cwd=ROOT, timeout=PATIENCE_S, check=True)


@pytest.mark.parametrize(
    "header",
    [
        "a=1", "a=1,b=2", " a=1 ,\t, b=2\t,", "", " ", ",", "a", "a=", "a=1,a=2", "A=1", "1=2",
        "1@v=2",
        "a@b@c=1", "a=b=c", "a=1,b", "a= x y", "ot=th:8;rv:1", "a=\x7f", "é=1", "a=é",
        "k" * 256 + "=1", "k" * 257 + "=1", "a=" + "v" * 256, "a=" + "v" * 257, "t" * 242 + "@v=1",
        "9" * 241 + "@" + "v" * 14 + "=1", "9" * 241 + "@" + "v" * 15 + "=1",
        ",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(33)),
    ],
)  # fmt: skip
def test_tracestate_is_passed_on_as_the_api_does(header: str) -> None:
    """The same members, in the same order, or nothing where the API discards all."""
    assert TraceState.from_header([header]).to_header() == valid_trace_state(header)
