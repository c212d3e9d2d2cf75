"""The questions for Prometheus: every query that a page asks, as one expression each."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from proletto_otel.core import conventions as c
from proletto_otel.core.config import Config
from proletto_otel.core.conventions import label_name
from proletto_otel.metrics import system_metrics
from proletto_otel.metrics.system_metrics import SystemMetric

KIND = "kind"
"""Label that tells the parts of one answer from each other."""
HOST = label_name(c.HOST_NAME)
SCOPE = "scope"
PID = label_name(c.PROCESS_PID)
VERSION = label_name(c.SERVICE_VERSION)
STATUS = label_name(c.HTTP_RESPONSE_STATUS_CODE)
ROUTE = label_name(c.HTTP_ROUTE)
METHOD = label_name(c.HTTP_REQUEST_METHOD)
LIVING_S = 120
LIVING = f"{LIVING_S}s"
"""A gauge of a worker that ended is forgotten after this: eight exports of 15 s."""
NEWEST = "newest"
"""Kind of the series that say when a host was heard of last, unix seconds."""
LOOK_BACK, LOOK_BACK_WORDS = "6h", "six hours"
"""A host that was silent for longer is not waited for any more, as by the alert `AppSilent`."""
STORED_AGO = "5m"
"""Prometheus finds a sample so long after its time: steps of this length meet each last sample."""
LEAST_WINDOW_S = 60
"""Four exports of 15 s: a rate over fewer jumps."""
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
WORKER_METRICS = {
    "cpu": c.PROCESS_CPU_UTILIZATION,
    "memory": c.PROCESS_MEMORY_USAGE,
    "files": c.PROCESS_OPEN_FILES,
    "threads": c.PROCESS_THREAD_COUNT,
}
_NAME = c.HTTP_SERVER_REQUEST_DURATION.prometheus
_OK = f'{STATUS}=~"[1-4].."'
"""Matches requests that did not fail."""
TIMEOUT = "1s"
"""Prometheus gives a query up then: nobody waits for it any longer."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The times of a chart: whole steps back from its end."""

    end: int
    step: int
    count: int

    @classmethod
    def of(cls, start: float, end: float, points: int) -> Steps:
        """At most *points* steps of 15 s or more; the end is a multiple of five seconds."""
        step = max(-int(-(end - start) // points), 15)
        return cls(int(end) // 5 * 5, step, max(int((end - start) // step), 1))

    @property
    def window(self) -> int:
        """Seconds that each point looks back."""
        return max(self.step, LEAST_WINDOW_S)


def over_time(query: str, steps: Steps) -> str:
    """The question for a chart."""
    start = steps.end - (steps.count - 1) * steps.step
    return "/api/v1/query_range?" + urlencode(
        {"query": query, "start": start, "end": steps.end, "step": steps.step, "timeout": TIMEOUT}
    )


def at(query: str, when: int) -> str:
    """The question for a table."""
    return "/api/v1/query?" + urlencode({"query": query, "time": when, "timeout": TIMEOUT})


def system(config: Config, steps: Steps) -> str:
    """Every system metric of every host."""
    return " or ".join(_system_metric(config, row, steps) for row in system_metrics.INDICATORS)


def _system_metric(config: Config, row: SystemMetric, steps: Steps) -> str:
    name = f"{row.metric.prometheus}{{{_service(config)}}}"
    labels = f"{HOST}, {SCOPE}" if SCOPE in row.metric.attributes else HOST
    if row.combine is system_metrics.added_up:  # all workers of a moment, and no highest of each
        return _tagged(f"sum by ({labels}) (last_over_time({name}[{LIVING}]))", row.indicator)
    window = max(steps.step, 120)
    return _tagged(f"max by ({labels}) (max_over_time({name}[{window}s]))", row.indicator)


def measured(config: Config) -> str:
    """When each host measured itself last: its sampler writes the time into a metric."""
    beat = f"{c.HEARTBEAT.prometheus}{{{_service(config)}}}[{LOOK_BACK}]"
    return _tagged(f"max by ({HOST}) (max_over_time({beat}))", NEWEST)


def counted(config: Config) -> str:
    """When each host sent its newest counts of requests; it sends them without requests, too."""
    # `last_over_time` has no timestamp of a sample: for silent hosts a subquery looks back in steps
    sent = f"timestamp({_requests(config, 'count')})"
    earlier = f"max_over_time({sent}[{LOOK_BACK}:{STORED_AGO}])"
    return _tagged(f"(max by ({HOST}) ({sent}) or max by ({HOST}) ({earlier}))", NEWEST)


def workers(config: Config) -> str:
    """What each worker of each host uses now, and when it said so."""
    labels = f"{HOST}, {PID}, {VERSION}"
    parts = {
        kind: f"last_over_time({metric.prometheus}{{{_service(config)}}}[{LIVING}])"
        for kind, metric in WORKER_METRICS.items()
    }
    sent = f"timestamp({c.PROCESS_MEMORY_USAGE.prometheus}{{{_service(config)}}})"
    parts["at"] = f"({sent} > time() - {LIVING_S})"
    return " or ".join(
        _tagged(f"max by ({labels}) ({expression})", kind) for kind, expression in parts.items()
    )


def requests(config: Config, steps: Steps, *matchers: str, without_failed: bool = False) -> str:
    """Requests per second by status, and percentiles."""
    window, count = f"{steps.window}s", _requests(config, "count", *matchers)
    parts = [_tagged(f"sum by ({STATUS}) (rate({count}[{window}]))", "rate")]
    timed = _timed(matchers, without_failed)
    buckets = f"sum by (le) (rate({_requests(config, 'bucket', *timed)}[{window}]))"
    parts += [_tagged(f"histogram_quantile({q}, {buckets})", p) for p, q in QUANTILES.items()]
    return " or ".join(parts)


def _timed(matchers: tuple[str, ...], without_failed: bool) -> tuple[str, ...]:
    """Matchers of the requests that durations are about."""
    return (*matchers, _OK) if without_failed else matchers


def endpoints(config: Config, seconds: int, *, without_failed: bool = False) -> str:
    """Of each endpoint: requests, failures, those that are timed and their seconds, percentiles."""
    timed = _timed((), without_failed)
    window, labels = f"{max(seconds, LEAST_WINDOW_S)}s", f"{METHOD}, {ROUTE}"

    def grown(part: str, *matchers: str) -> str:
        return f"sum by ({labels}) (increase({_requests(config, part, *matchers)}[{window}]))"

    buckets = f"sum by (le, {labels}) (rate({_requests(config, 'bucket', *timed)}[{window}]))"
    parts = {
        "count": grown("count"),
        "errors": grown("count", f'{STATUS}=~"5.."'),
        **({"timed": grown("count", *timed)} if timed else {}),
        "seconds": grown("sum", *timed),
        **{p: f"histogram_quantile({q}, {buckets})" for p, q in QUANTILES.items()},
    }
    return " or ".join(_tagged(expression, kind) for kind, expression in parts.items())


def one_endpoint(route: str, method: str | None) -> tuple[str, ...]:
    """Matchers of one endpoint; an empty route: requests that matched none."""
    return (f"{ROUTE}={quoted(route)}", *([f"{METHOD}={quoted(method)}"] if method else []))


def total(config: Config, seconds: int, *matchers: str, without_failed: bool = False) -> str:
    """Of all that match: requests by status, seconds together, percentiles."""
    window, timed = f"{max(seconds, LEAST_WINDOW_S)}s", _timed(matchers, without_failed)
    count, took = _requests(config, "count", *matchers), _requests(config, "sum", *timed)
    buckets = f"sum by (le) (rate({_requests(config, 'bucket', *timed)}[{window}]))"
    parts = {
        "count": f"sum by ({STATUS}) (increase({count}[{window}]))",
        "seconds": f"sum (increase({took}[{window}]))",
        **{p: f"histogram_quantile({q}, {buckets})" for p, q in QUANTILES.items()},
    }
    return " or ".join(_tagged(expression, kind) for kind, expression in parts.items())


def durations(config: Config, steps: Steps, *matchers: str, without_failed: bool = False) -> str:
    """Requests of each step that took at most so long, by bound."""
    buckets = _requests(config, "bucket", *_timed(matchers, without_failed))
    return f"sum by (le) (increase({buckets}[{steps.window}s]))"


def quoted(text: str) -> str:
    """A string of PromQL and LogQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _tagged(expression: str, kind: str) -> str:
    return f'label_replace({expression}, "{KIND}", "{kind}", "", "")'


def _service(config: Config) -> str:
    """Matchers of this service in this environment."""
    return (
        f"{label_name(c.SERVICE_NAME)}={quoted(config.service_name)}, "
        f"{label_name(c.DEPLOYMENT_ENVIRONMENT_NAME)}={quoted(config.environment)}"
    )


def _requests(config: Config, part: str, *matchers: str) -> str:
    """The series of the requests, without probes and pages of ours."""
    own = [*c.PROBE_PATHS, *filter(None, [config.metrics_path])]
    prefix = "/" + config.admin_prefix.strip("/")
    pattern = "|".join([*map(_literal, own), f"{_literal(prefix)}(/.*)?"])
    selected = ", ".join([_service(config), f"{ROUTE}!~{quoted(pattern)}", *matchers])
    return f"{_NAME}_{part}{{{selected}}}"


def _literal(text: str) -> str:
    """*text* in a regular expression."""
    return "".join(f"\\{char}" if char in "\\.+*?()|[]{}^$" else char for char in text)
