"""The way of one request: through an application, the collector and the stores, to Grafana."""

from __future__ import annotations

import email.utils
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from proletto_otel.cli.doctor_stores import TIMEOUT_S, Stores
from proletto_otel.cli.doctor_verdict import WrongError
from proletto_otel.core import config as settings
from proletto_otel.core import conventions as c

SERVICE = "proletto-doctor"
CLOCK_S = 60.0
"""A clock that is off by more puts telemetry where nobody looks for it."""

BUILDS_ON = {
    "request": (), "metrics": ("request", "Grafana"), "exemplar": ("metrics",),
    "log line": ("request", "Grafana"), "trace": ("request", "Grafana"),
    "dashboards": ("Grafana",), "alert rules": ("Grafana",), "clock": ("collector",),
}  # fmt: skip
"""A check is not made when one of these is broken: it would only say the same again."""


@dataclass
class Marked:
    """The request that is looked for."""

    request_id: str = field(default_factory=lambda: f"doctor-{uuid.uuid4().hex[:16]}")
    service: str = SERVICE
    trace_id: str = field(default_factory=lambda: uuid.uuid4().hex)


def checks(
    environ: Mapping[str, str], stores: Stores, app_url: str | None
) -> Iterator[tuple[str, Callable[[], str]]]:
    """The checks in their order."""
    config, _ = settings.load({}, {}, environ)
    endpoint = config.otlp_endpoint or "http://localhost:4318"
    marked = Marked()
    yield "collector", lambda: collector_answers(endpoint)
    yield "clock", lambda: clocks_agree(endpoint)
    yield "Grafana", lambda: grafana_answers(stores)
    send = (
        (lambda: request_through(app_url, marked)) if app_url else (lambda: request_of_own(marked))
    )
    yield "request", send
    yield "metrics", lambda: metrics_arrive(stores, marked)
    yield "exemplar", lambda: exemplar_arrives(stores, marked)
    yield "log line", lambda: log_line_arrives(stores, marked)
    yield "trace", lambda: trace_arrives(stores, marked)
    yield "dashboards", lambda: dashboards_are_there(stores)
    yield "alert rules", lambda: alert_rules_work(stores)


def _empty_export(endpoint: str) -> urllib.request.Request:
    url = f"{endpoint.rstrip('/')}/v1/traces"
    # A valid request without records: the check leaves nothing in the stores.
    return urllib.request.Request(url, b"{}", {"Content-Type": "application/json"})


def collector_answers(endpoint: str) -> str:
    """The collector takes an empty export."""
    fix = f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}: "
    try:
        with urllib.request.urlopen(_empty_export(endpoint), timeout=TIMEOUT_S):
            return f"{endpoint} takes telemetry"
    except urllib.error.HTTPError as error:
        problem = f"{endpoint} answers {error.code} to /v1/traces: that is no collector"
        fix += "the base address of the collector, port 4318 for HTTP"
        raise WrongError(problem, fix) from error
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error))
        fix += "start the collector there (`docker-compose up -d otel-collector`), or correct it"
        raise WrongError(f"{endpoint} does not answer: {reason}", fix) from error


def clocks_agree(endpoint: str) -> str:
    """This machine's clock and the collector's agree."""
    with urllib.request.urlopen(_empty_export(endpoint), timeout=TIMEOUT_S) as answer:
        date = answer.headers.get("Date")
    if not date:
        return "the collector tells no time"
    off = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    if abs(off) > CLOCK_S:
        problem = f"this machine's clock is {abs(off):.0f} s {'fast' if off > 0 else 'slow'}"
        fix = "set it by NTP (`timedatectl set-ntp true`), here or on the collector's machine"
        raise WrongError(problem, fix)
    return f"within {abs(off):.0f} s of the collector's"


def grafana_answers(stores: Stores) -> str:
    """Grafana answers, and takes the login."""
    try:
        health = stores.get("/api/health")
        stores.get("/api/datasources")
    except urllib.error.HTTPError as error:
        problem = f"{stores.grafana} answers {error.code} to user {stores.user}"
        fix = (
            "--stack DIR with the right .env, or GRAFANA_ADMIN_PASSWORD; --grafana for the address"
        )
        raise WrongError(problem, fix) from error
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error))
        fix = "`docker-compose up -d grafana`, or give its address with --grafana"
        raise WrongError(f"{stores.grafana} does not answer: {reason}", fix) from error
    return f"{health.get('version', 'answers')} at {stores.grafana}"


def request_through(app_url: str, marked: Marked) -> str:
    """Send the marked request to an application that runs."""
    # The trace ID is ours, and sampled: it can be looked for without asking the application.
    parent = f"00-{marked.trace_id}-{uuid.uuid4().hex[:16]}-01"
    headers = {"X-Request-ID": marked.request_id, "traceparent": parent}
    request = urllib.request.Request(app_url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            status, echoed = answer.status, answer.headers.get(c.REQUEST_ID_HEADER)
    except urllib.error.HTTPError as error:
        status, echoed = error.code, error.headers.get(c.REQUEST_ID_HEADER)
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error))
        fix = "start the application, or correct --app-url"
        raise WrongError(f"{app_url} does not answer: {reason}", fix) from error
    if echoed != marked.request_id:
        problem = f"{app_url} answers {status} without our request ID"
        fix = "call setup_telemetry(app) or init_app(app) in it; a proxy may take the header away"
        raise WrongError(problem, fix)
    # The name of its service is not known here, so the series of any service count.
    marked.service = ""
    return f"{status} from {app_url}, request ID {marked.request_id}"


def request_of_own(marked: Marked) -> str:
    """Send it through an application of our own, with the settings of the environment."""
    from flask import Flask

    from proletto_otel import setup_telemetry

    app = Flask(SERVICE)
    app.add_url_rule("/doctor", "doctor", lambda: "ok")
    # Its files are in nobody's way: only what reaches the stack counts.
    with tempfile.TemporaryDirectory() as folder:
        telemetry = setup_telemetry(
            app, service_name=SERVICE, log_dir=folder, state_dir=folder, log_console=False
        )
        try:
            headers = {
                "X-Request-ID": marked.request_id,
                "traceparent": f"00-{marked.trace_id}-{uuid.uuid4().hex[:16]}-01",
            }
            with app.test_client() as client:
                client.get("/doctor", headers=headers)
            delivered = telemetry.flush(TIMEOUT_S)
        finally:
            telemetry.shutdown()
    if not delivered:
        problem = "the collector did not take the request's telemetry within 5 s"
        fix = (
            "`docker-compose logs otel-collector`; OTEL_EXPORTER_OTLP_HEADERS, if it wants a login"
        )
        raise WrongError(problem, fix)
    return f"sent and delivered, request ID {marked.request_id}"


def metrics_arrive(stores: Stores, marked: Marked) -> str:
    """The request is counted in Prometheus."""
    count = f"{c.HTTP_SERVER_REQUEST_DURATION.prometheus}_count"
    picked = f'{{service_name="{marked.service}"}}' if marked.service else ""
    found = stores.find(
        "its sample in Prometheus",
        lambda: stores.promql(f"{count}{picked}"),
        "`docker-compose logs prometheus otel-collector`: is --web.enable-otlp-receiver set?",
    )  # fmt: skip
    if not marked.service:
        return f"{len(found)} series of requests"
    return f"{count}{picked} is there"


def exemplar_arrives(stores: Stores, marked: Marked) -> str:
    """Prometheus has an exemplar that leads to a trace."""
    bucket = f"{c.HTTP_SERVER_REQUEST_DURATION.prometheus}_bucket"
    picked = f'{{service_name="{marked.service}"}}' if marked.service else ""
    now = time.time()
    stores.find(
        "an exemplar in Prometheus",
        lambda: stores.store(
            "prometheus", "/api/v1/query_exemplars", query=f"{bucket}{picked}", start=now - 3600,
            end=now + 600,
        )["data"],
        "Prometheus needs --enable-feature=exemplar-storage, and traces must be sampled",
    )  # fmt: skip
    return "points of the latency panel lead to traces"


def log_line_arrives(stores: Stores, marked: Marked) -> str:
    """The request's log line is in Loki."""
    selector = f'{{service_name="{marked.service}"}}' if marked.service else '{service_name=~".+"}'
    # Ten minutes to both sides, as the clocks of the machines may differ.
    now = time.time_ns()
    found = stores.find(
        "its log line in Loki",
        lambda: stores.store(
            "loki", "/loki/api/v1/query_range", limit=10,
            query=f'{selector} | request_id="{marked.request_id}"',
            start=now - 600 * 10**9, end=now + 600 * 10**9,
        )["data"]["result"],
        "`docker-compose ps loki`, `docker-compose logs loki otel-collector`",
    )  # fmt: skip
    return f"{sum(len(stream['values']) for stream in found)} lines with the request ID"


def trace_arrives(stores: Stores, marked: Marked) -> str:
    """The request's trace is in Tempo."""
    stores.find(
        "its trace in Tempo",
        lambda: stores.store("tempo", f"/api/traces/{marked.trace_id}"),
        "`docker-compose ps tempo`, `docker-compose logs tempo otel-collector`; a sampled-out "
        "trace is not there either (OTEL_TRACES_SAMPLER)",
    )
    return f"trace {marked.trace_id} is there"


def dashboards_are_there(stores: Stores) -> str:
    """Grafana has every dashboard of this version."""
    from proletto_otel.stack import dashboard_uids

    there = {board["uid"] for board in stores.get("/api/search", tag="proletto", limit=100)}
    wanted = {value for name, value in vars(dashboard_uids).items() if name.isupper()}
    if missing := sorted(wanted - there):
        problem = f"Grafana lacks {', '.join(missing)}"
        fix = (
            "`docker-compose logs grafana | grep dashboard`; `python -m proletto_otel stack check`"
        )
        raise WrongError(problem, fix)
    return f"{len(wanted)} dashboards"


def alert_rules_work(stores: Stores) -> str:
    """Grafana has alert rules and can evaluate them."""
    answer = stores.get("/api/prometheus/grafana/api/v1/rules")
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    if not rules:
        fix = "`docker-compose logs grafana`; `python -m proletto_otel stack check`"
        raise WrongError("Grafana has no alert rules", fix)
    broken = [rule for rule in rules if rule.get("health") == "error"]
    if broken:
        first = broken[0]
        problem = (
            f"{len(broken)} rules cannot be evaluated: {first['name']}: {first.get('lastError')}"
        )
        raise WrongError(problem, "correct its query; `python -m proletto_otel stack check`")
    return f"{len(rules)} rules, all evaluated"
