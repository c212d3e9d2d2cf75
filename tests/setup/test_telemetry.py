"""The front door: one call, in any order, twice, with anything in the environment."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import pytest
from flask import Flask, Response, abort
from opentelemetry import trace

from proletto_otel import ConfigError, setup_telemetry
from proletto_otel.core import internal_errors
from proletto_otel.core.config import SETTINGS
from proletto_otel.error_logging import logger
from proletto_otel.monitoring import monitor
from proletto_otel.monitoring_routes import init_app
from proletto_otel.testing import TelemetryCapture, capture
from tests.waiting import until

NAME = "http.server.request.duration"


def make_app(name: str = "shop") -> Flask:
    """An application with a route that logs, one that fails, one that greets."""
    app = Flask(name)

    @app.get("/orders/<int:order_id>")
    def order(order_id: int) -> dict[str, int]:
        logger.info("order shown", order_id=order_id)
        return {"id": order_id}

    @app.get("/fail")
    def fail() -> str:
        raise ValueError("boom")

    return app


def test_one_id_ties_span_log_lines_metric_and_response(
    telemetry_capture: TelemetryCapture,
) -> None:
    """The request ID is in the response, the span, every log line; the trace ID in both."""
    app = make_app()
    setup_telemetry(app)

    response = app.test_client().get("/orders/7", headers={"X-Request-ID": "rid-7"})

    span = telemetry_capture.spans[0]
    logs = telemetry_capture.logs
    assert response.headers["X-Request-ID"] == "rid-7"
    assert ["order shown", "GET /orders/7 200"] == [line["body"] for line in logs]
    assert {"rid-7"} == {item["attributes"]["request_id"] for item in [span, *logs]}
    assert {span["trace_id"]} == {line["trace_id"] for line in logs}
    assert telemetry_capture.metric(NAME, http_route="/orders/<int:order_id>") == 1


def test_contrib_without_its_package_is_one_warning(
    telemetry_capture: TelemetryCapture,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line says what to install; requests are traced by us."""
    internal_errors.forget_logged()
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.flask", None)
    app = make_app()
    setup_telemetry(app, instrumentation="contrib")

    assert app.test_client().get("/orders/7").status_code == 200
    (line,) = [line for line in caplog.messages if "contrib" in line]
    assert "pip install 'proletto_otel[contrib]'" in line
    assert "GET /orders/<int:order_id>" == telemetry_capture.spans[0]["name"]


def test_generated_request_id_is_the_trace_id(telemetry_capture: TelemetryCapture) -> None:
    """Without a header one paste finds everything: the request ID is the trace ID."""
    app = make_app()
    setup_telemetry(app)

    response = app.test_client().get("/orders/1")

    assert telemetry_capture.spans[0]["trace_id"] == response.headers["X-Request-ID"]


def test_unhandled_error_is_one_record_with_its_stack_trace(
    telemetry_capture: TelemetryCapture,
) -> None:
    """An exception that becomes a 500 is one ERROR record, and the page names the ID."""
    app = make_app()
    setup_telemetry(app)

    response = app.test_client().get("/fail", headers={"Accept": "application/json"})

    errors = [line for line in telemetry_capture.logs if line["severity"] == "ERROR"]
    assert response.get_json() == {
        "error": "Internal Server Error",
        "request_id": response.headers["X-Request-ID"],
    }
    assert ["ValueError"] == [line["attributes"]["exception.type"] for line in errors]
    assert "raise ValueError" in errors[0]["attributes"]["exception.stacktrace"]
    assert telemetry_capture.spans[0]["status"] == "ERROR"


def test_an_error_is_counted_once(telemetry_capture: TelemetryCapture) -> None:
    """Whoever raised it: the counter that the error alerts watch."""
    app = make_app()
    setup_telemetry(app)
    app.test_client().get("/fail")
    logger.error("payment refused", component="payment")

    count = telemetry_capture.metric
    assert (2, 1) == (count("proletto.errors"), count("proletto.errors", component="payment"))
    assert 1 == count("proletto.errors", exception_type="ValueError")


def test_a_process_alone_speaks_for_its_host(telemetry_capture: TelemetryCapture) -> None:
    """The only worker leads: it measures the host, and the status says so."""
    with setup_telemetry() as telemetry:
        until(lambda: telemetry.status()["leader"] is True)
        until(lambda: telemetry_capture.metric("system.memory.utilization"))


def test_error_page_of_the_application_wins(telemetry_capture: TelemetryCapture) -> None:
    """The 500 page is ours only where the application has none, however general its own is."""
    app = make_app()
    setup_telemetry(app)
    app.register_error_handler(Exception, lambda error: ("theirs", 500))

    assert app.test_client().get("/fail").text == "theirs"


def test_what_the_application_says_of_a_500_is_said(telemetry_capture: TelemetryCapture) -> None:
    """`abort(500, …)`: its words stand on the page, escaped; its own response is the answer."""
    app = make_app()
    setup_telemetry(app)
    app.add_url_rule("/words", "words", lambda: abort(500, "the <b>printer</b> is out"))
    own = Response("own", 500)
    app.add_url_rule("/own", "own", lambda: abort(500, response=own))
    client = app.test_client()

    page, plain = client.get("/words").text, client.get("/fail").text
    words = client.get("/words", headers={"Accept": "application/json"}).get_json()

    assert "<p>the &lt;b&gt;printer&lt;/b&gt; is out</p>" in page
    assert client.get("/own").text == "own"
    assert words["description"] == "the <b>printer</b> is out"
    assert words["request_id"]
    assert 1 == plain.count("<p>The request could not be answered")
    assert 2 == plain.count("<p>")


def test_same_arguments_give_the_same_handle(telemetry_capture: TelemetryCapture) -> None:
    """Set-up twice: one span per request, one line per log."""
    app = make_app()
    first = setup_telemetry(app, app_name="shop")

    second = setup_telemetry(app, app_name="shop")
    init_app(app)
    app.test_client().get("/orders/1")

    assert first is second
    assert len(telemetry_capture.spans) == 1
    assert len(telemetry_capture.logs) == 2


def test_other_arguments_warn_and_the_first_hold(
    telemetry_capture: TelemetryCapture, caplog: pytest.LogCaptureFixture
) -> None:
    """Different arguments the second time: one warning, the first ones hold."""
    first = setup_telemetry(app_name="shop")

    with caplog.at_level(logging.WARNING, "proletto_otel"):
        second = setup_telemetry(app_name="other")

    assert first is second
    assert second.config.app_name == "shop"
    assert ["app_name"] == [r.args[0] for r in caplog.records if r.args]


def test_two_applications_in_one_process(telemetry_capture: TelemetryCapture) -> None:
    """Each application has its middleware; the numbers are one process's."""
    apps = [make_app("a"), make_app("b")]
    for app in apps:
        setup_telemetry(app)
        app.test_client().get("/orders/1")

    assert telemetry_capture.metric(NAME) == 2
    assert len(telemetry_capture.spans) == 2


def test_without_an_application(telemetry_capture: TelemetryCapture) -> None:
    """A script or a worker has logs, spans and metrics, too."""
    with setup_telemetry() as telemetry:
        with telemetry.tracer.start_as_current_span("nightly"):
            telemetry.logger.warning("stock low", left=2)
        telemetry.meter.create_counter("jobs").add(3)
        assert telemetry_capture.metric("jobs") == 3

    assert ["nightly"] == [span["name"] for span in telemetry_capture.spans]
    assert telemetry_capture.logs[0]["trace_id"] == telemetry_capture.spans[0]["trace_id"]


def test_first_span_of_a_script_is_kept_whoever_makes_it(
    telemetry_capture: TelemetryCapture,
) -> None:
    """What uses OpenTelemetry's global functions need not wait until the process is active."""
    setup_telemetry()
    trace.get_tracer("library").start_span("at once").end()

    assert ["at once"] == [span["name"] for span in telemetry_capture.spans]


def test_garbage_in_every_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app starts and serves, whatever the environment holds."""
    for row in SETTINGS:
        for variable in row.env:
            if variable not in ("LOG_DIR", "PROLETTO_STATE_DIR"):
                monkeypatch.setenv(variable, "\x1b,=nonsense\r")
    with capture(tmp_path):
        app = make_app()
        telemetry = setup_telemetry(app)

        assert app.test_client().get("/orders/1").status_code == 200
        assert telemetry.config.log_level == logging.INFO


def test_bad_argument_is_a_config_error(telemetry_capture: TelemetryCapture) -> None:
    """A bad argument in code raises: it names the setting, what came, what fits."""
    with pytest.raises(ConfigError, match="traces_sampler='sometimes': expected one of"):
        setup_telemetry(traces_sampler="sometimes")


def test_metrics_page_counts_requests(telemetry_capture: TelemetryCapture) -> None:
    """`/metrics` shows the requests by route and status to this machine."""
    app = make_app()
    setup_telemetry(app)
    client = app.test_client()
    for _ in range(3):
        client.get("/orders/1").close()

    page = client.get("/metrics").text

    series = (
        'http_server_request_duration_seconds_count{http_request_method="GET",'
        'http_route="/orders/<int:order_id>",http_response_status_code="200",url_scheme="http"} 3'
    )
    assert series in page


def test_user_is_on_later_lines(telemetry_capture: TelemetryCapture) -> None:
    """`set_user` puts the user's ID on the lines of this request and of no other."""
    app = make_app()
    telemetry = setup_telemetry(app)

    @app.get("/me")
    def me() -> str:
        telemetry.set_user(42)
        logger.info("profile shown")
        return "me"

    app.test_client().get("/me").close()
    app.test_client().get("/orders/1").close()

    users = {line["body"]: line["attributes"].get("user_id") for line in telemetry_capture.logs}
    assert users["profile shown"] == "42"
    assert users["order shown"] is None


def test_template_shows_the_request_id(telemetry_capture: TelemetryCapture) -> None:
    """Templates can print the request ID."""
    from flask import render_template_string

    app = make_app()
    setup_telemetry(app)
    app.add_url_rule("/page", view_func=lambda: render_template_string("{{ request_id() }}"))

    response = app.test_client().get("/page")

    assert response.text == response.headers["X-Request-ID"]


@pytest.mark.parametrize("used_before", [True, False])
def test_templates_are_as_the_application_set_them(
    telemetry_capture: TelemetryCapture, used_before: bool
) -> None:
    """An environment that is there gets `request_id`; one to come is made when it is used."""
    from flask import render_template_string

    app = make_app()
    if used_before:
        app.jinja_options = {"variable_start_string": "[["}
        app.jinja_env.globals["shop"] = "shoes"
    setup_telemetry(app)
    if not used_before:
        app.jinja_options = {"variable_start_string": "[["}
        app.jinja_env.globals["shop"] = "shoes"
    app.add_url_rule("/", view_func=lambda: render_template_string("[[ shop }} [[ request_id() }}"))

    response = app.test_client().get("/")

    assert response.text == f"shoes {response.headers['X-Request-ID']}"


def test_slack_and_email_are_captured(telemetry_capture: TelemetryCapture) -> None:
    """A CRITICAL record goes to Slack, a critical alert to Slack and email; tests see both."""
    telemetry = setup_telemetry(
        alert_interval_s=0.05, alert_email_to="ops@example.com", slack_window_s=1
    )
    monitor.register_gauge("queue_depth", lambda: 99.0)
    monitor.register_threshold("queue_depth", critical_threshold=10, duration=0)
    telemetry.activate()

    logger.critical("cannot go on")

    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and not (
        telemetry_capture.emails and len(telemetry_capture.slack) >= 2
    ):
        time.sleep(0.05)
    texts = " ".join(str(message) for message in telemetry_capture.slack)
    assert "cannot go on" in texts
    assert "queue_depth is 99" in texts
    assert "queue_depth" in telemetry_capture.emails[0]["text"]
    assert telemetry_capture.emails[0]["to"] == ["ops@example.com"]


def test_work_in_the_background_is_rare(tmp_path: Path) -> None:
    """No job of ours comes more than twice a second, whatever it does: an idle worker idles."""
    with capture(tmp_path):
        jobs = setup_telemetry(make_app()).components.ticker._jobs

    assert {"snapshots.fold", "logs.watch", "errors.write", "requests.gather"} <= set(jobs)
    assert [] == [job.name for job in jobs.values() if job.seconds < 0.5]
