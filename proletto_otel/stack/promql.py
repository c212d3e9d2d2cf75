"""PromQL over the contract: names come from `core.conventions`, selections from here."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.core.conventions import Metric, label_name

SERVICE = label_name(c.SERVICE_NAME)
ENVIRONMENT = label_name(c.DEPLOYMENT_ENVIRONMENT_NAME)
HOST = label_name(c.HOST_NAME)
INSTANCE = "instance"
"""Who sent it, Prometheus' name for `service.instance.id`: one worker of a host sends for all of
them, and without a state directory each for itself."""
PID = label_name(c.PROCESS_PID)
WORKER = (INSTANCE, PID)
"""Neither alone tells workers apart: the first is the same for those of a host, the second is
missing where each sends for itself, and comes again in a new container."""
STATUS = label_name(c.HTTP_RESPONSE_STATUS_CODE)
ROUTE = label_name(c.HTTP_ROUTE)
METHOD = label_name(c.HTTP_REQUEST_METHOD)
EXCEPTION = label_name(c.EXCEPTION_TYPE)
REQUEST_ID = label_name(c.REQUEST_ID)
FINGERPRINT = label_name(c.FINGERPRINT)
FILE, LINE = label_name(c.CODE_FILE_PATH), label_name(c.CODE_LINE_NUMBER)
MOUNT = label_name(c.FILESYSTEM_MOUNTPOINT)

IDENTITY = (SERVICE, ENVIRONMENT)
"""What an alert is about: a service in an environment."""

COUNT = f"{c.HTTP_SERVER_REQUEST_DURATION.prometheus}_count"
SUM = f"{c.HTTP_SERVER_REQUEST_DURATION.prometheus}_sum"
BUCKET = f"{c.HTTP_SERVER_REQUEST_DURATION.prometheus}_bucket"

FAILED = f'{STATUS}=~"5.."'
OWN_ROUTES = "/(livez|readyz|healthz?|metrics)|/admin/monitoring(/.*)?"
"""Probes and admin pages say nothing about the service; the collector filters the same ones."""
REAL = f'{ROUTE}!~"{OWN_ROUTES}"'

GAUGE_WINDOW = "2m"
"""A gauge of a worker that ended is forgotten after this: eight exports of 15 s, instead of the
five minutes for which Prometheus would show it."""


def series(metric: Metric | str, *matchers: str) -> str:
    """The series of *metric* that fit all *matchers*; empty ones are left out."""
    name = metric if isinstance(metric, str) else metric.prometheus
    return f"{name}{{{', '.join(matcher for matcher in matchers if matcher)}}}"


def by(*labels: str) -> str:
    """`by (…)` with the identity first."""
    return f"by ({', '.join((*IDENTITY, *labels))})"


def increase(name: Metric | str, window: str, *matchers: str) -> str:
    """How much a counter grew within *window*."""
    return f"increase({series(name, *matchers)}[{window}])"


def latest(name: Metric | str, *matchers: str) -> str:
    """The present value of a gauge, of those that still live."""
    return f"last_over_time({series(name, *matchers)}[{GAUGE_WINDOW}])"


def requests(window: str, *matchers: str) -> str:
    """Requests of each service."""
    return f"sum {by()} ({increase(COUNT, window, REAL, *matchers)})"


def failed_ratio(window: str, *matchers: str) -> str:
    """The share of requests that ended in 5xx; 0 where none did, nothing without requests."""
    failed, every = requests(window, FAILED, *matchers), requests(window, *matchers)
    # `or 0 * …`: a service without failures has no series of them, and its share is 0.
    return f"({failed} or 0 * {every}) / ({every} > 0)"
