"""The way of one request: through an application, the collector and the stores, to Grafana."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from proletto_otel.cli import doctor_collector, doctor_probe
from proletto_otel.cli.doctor_contact import contact_answers
from proletto_otel.cli.doctor_deployment import Deployment
from proletto_otel.cli.doctor_stores import TIMEOUT_S, Stores
from proletto_otel.cli.doctor_verdict import NotAsked, WrongError
from proletto_otel.core import conventions as c

SERVICE = "proletto-doctor"
BUILDS_ON = {
    "preload": ("application",), "conventions": ("application",),
    "log line": ("request", "Grafana"), "trace": ("request", "Grafana"),
    "metrics": ("request", "Grafana"), "exemplar": ("metrics",),
    "dashboards": ("Grafana",), "alert rules": ("Grafana",), "clock": ("collector",),
    "test alert of Grafana": ("Grafana",),
}  # fmt: skip


def builds_on(name: str, app_url: str | None) -> tuple[str, ...]:
    """Checks without which *name* is not made: it would only say the same again."""
    # An application that runs may have another collector than the one that is asked from here.
    if name == "request" and app_url is None:
        return ("collector",)
    return BUILDS_ON.get(name, ())


@dataclass
class Marked:
    """The request that is looked for."""

    request_id: str = field(default_factory=lambda: f"doctor-{uuid.uuid4().hex[:16]}")
    trace_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    service: str = ""
    """Whose series are looked for; empty: not known, those of any service count."""

    began_s: float = 0.0
    """Samples that are older (Unix seconds) are of another request."""


def checks(
    deployment: Deployment, stores: Stores, app_url: str | None, test_alert: bool
) -> Iterator[tuple[str, Callable[[], str]]]:
    """The checks in their order."""
    config, off, marked = deployment.config, deployment.off, Marked()
    yield "collector", lambda: doctor_collector.collector_answers(config)
    yield "clock", lambda: doctor_collector.clocks_agree(config)
    yield "Grafana", lambda: grafana_answers(stores)
    send = (
        (lambda: request_through(app_url, marked))
        if app_url
        else (lambda: request_of_own(deployment, marked))
    )
    yield "request", send
    # The log line first: it says which service answered.
    yield "log line", sent("logs", off, lambda: log_line_arrives(stores, marked))
    yield "trace", sent("traces", off, lambda: trace_arrives(stores, marked))
    yield "metrics", sent("metrics", off, lambda: metrics_arrive(stores, marked))
    yield "exemplar", lambda: exemplar_arrives(stores, marked)
    yield "dashboards", lambda: dashboards_are_there(stores)
    yield "alert rules", lambda: alert_rules_work(stores)
    if test_alert:
        yield "test alert of Grafana", lambda: contact_answers(stores)


def sent(signal: str, off: Mapping[str, str], check: Callable[[], str]) -> Callable[[], str]:
    """*check*, unless the deployment does not send the signal on purpose."""

    def unless_off() -> str:
        if signal in off:
            raise NotAsked(f"{off[signal]}: not sent")
        return check()

    return unless_off


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
    return f"{status} from {app_url}, request ID {marked.request_id}"


def request_of_own(deployment: Deployment, marked: Marked) -> str:
    """Send it through an application of our own, with the settings of the deployment."""
    marked.service, marked.began_s = SERVICE, time.time()
    if not doctor_probe.run(
        SERVICE, marked.request_id, marked.trace_id, deployment.environ, deployment.own_transport()
    ):
        problem = "the collector did not take the request's telemetry within 5 s"
        fix = (
            "`docker-compose logs otel-collector`; OTEL_EXPORTER_OTLP_HEADERS, if it wants a login"
        )
        raise WrongError(problem, fix)
    return f"sent and delivered, request ID {marked.request_id}"


def metrics_arrive(stores: Stores, marked: Marked) -> str:
    """The request is counted in Prometheus."""
    series = f"{c.HTTP_SERVER_REQUEST_DURATION.prometheus}_count{_picked(marked)}"
    found = stores.find(
        "its sample in Prometheus",
        # A sample of an earlier run of doctor proves nothing.
        lambda: stores.promql(f"timestamp({series}) >= {marked.began_s:.3f}"),
        "`docker-compose logs prometheus otel-collector`: is --web.enable-otlp-receiver set?",
    )
    return f"{series} is there" if marked.service else f"{len(found)} series of requests"


def exemplar_arrives(stores: Stores, marked: Marked) -> str:
    """Prometheus has an exemplar that leads to a trace."""
    buckets = f"{c.HTTP_SERVER_REQUEST_DURATION.prometheus}_bucket{_picked(marked)}"
    now = time.time()
    stores.find(
        "an exemplar in Prometheus",
        lambda: stores.store(
            "prometheus", "/api/v1/query_exemplars", query=buckets,
            start=max(now - 3600, marked.began_s), end=now + 600,
        )["data"],
        "Prometheus needs --enable-feature=exemplar-storage, and traces must be sampled",
    )  # fmt: skip
    return "points of the latency panel lead to traces"


def _picked(marked: Marked) -> str:
    return f'{{service_name="{marked.service}"}}' if marked.service else ""


def log_line_arrives(stores: Stores, marked: Marked) -> str:
    """The request's log line is in Loki."""
    selector = f'{{service_name="{marked.service}"}}' if marked.service else '{service_name=~".+"}'
    # Ten minutes to both sides, as the clocks of the machines may differ.
    now = time.time_ns()
    found = stores.find(
        "its log line in Loki",
        lambda: stores.store(
            "loki", "/loki/api/v1/query_range", limit=10,
            query=f'{selector} | {c.label_name(c.REQUEST_ID)}="{marked.request_id}"',
            start=now - 600 * 10**9, end=now + 600 * 10**9,
        )["data"]["result"],
        "`docker-compose ps loki`, `docker-compose logs loki otel-collector`",
    )  # fmt: skip
    marked.service = found[0].get("stream", {}).get("service_name", marked.service)
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
