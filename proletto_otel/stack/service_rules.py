"""Rules about services that no threshold covers: errors, health, workers, silence, telemetry."""

from __future__ import annotations

from functools import partial

from proletto_otel.alerts.indicators import HEALTH_ALERT
from proletto_otel.core import conventions as c
from proletto_otel.core.severity import CRITICAL, WARNING
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.rule import MINUTE_S, Band, Panel, Rule
from proletto_otel.stack.threshold_rules import health_value

MIB = 1024 * 1024
_ERRORS = Panel(dashboard=d.ERRORS, title="Errors by exception")
_WORKER_MEMORY = Panel(dashboard=d.SYSTEM, title="Memory by worker")
_DISK = Panel(dashboard=d.SYSTEM, title="Disk usage")
_HEALTH = Panel(dashboard=d.HEALTH, title="Health checks")
_DROPPED = Panel(dashboard=d.PIPELINE, title="Telemetry lost, by sink and reason")
_SPOOL = Panel(dashboard=d.PIPELINE, title="Oldest telemetry waiting on disk")


def errors() -> list[Rule]:
    """More errors than usual, a new kind of error, failures where there is little traffic."""
    named = f'{q.EXCEPTION}!=""'
    of_type = f"sum {q.by(q.EXCEPTION)}"
    now = f"{of_type} ({q.increase(c.ERRORS, '10m', named)})"
    before = f"{of_type} (increase({q.series(c.ERRORS, named)}[1h] offset 10m))"
    seen = f"max {q.by(q.EXCEPTION)} (max_over_time({q.series(c.ERRORS, named)}[15m]))"
    known = f"max {q.by(q.EXCEPTION)} (max_over_time({q.series(c.ERRORS, named)}[1d] offset 15m))"
    # A service that is itself new has no known errors yet: there nothing is called new.
    lived = f"max {q.by()} (max_over_time({q.series(q.COUNT)}[1h] offset 15m))"
    failed = q.requests("6h", q.FAILED)
    return [
        Rule(
            base="ErrorSurge", severity=WARNING, group="errors",
            # An hour's usual errors, put on ten minutes; one at least, or nothing is a surge.
            expression=f"{now} / clamp_min({before} / 6 or 0 * {now}, 1) and {now} >= 20",
            band=Band(5), title="Errors of", about=(q.EXCEPTION,), panel=_ERRORS,
            unit="times as many as in the hour before",
            description="One kind of error comes much more often than it did in the last hour.",
        ),
        Rule(
            base="NewErrorType", severity=WARNING, group="errors",
            expression=(
                f"{seen}\nunless on ({q.SERVICE}, {q.ENVIRONMENT}, {q.EXCEPTION}) {known}\n"
                f"and on ({q.SERVICE}, {q.ENVIRONMENT}) {lived}"
            ),
            band=Band(0), title="New error", about=(q.EXCEPTION,), panel=_ERRORS, unit="times",
            text="New error {{ $labels.exception_type }}: <value> times in a worker, never in the "
            "day before",
            description="An exception type that the service did not log in the day before; mostly "
            "the last deployment brought it.",
        ),
        Rule(
            base="FailuresAtLowTraffic", severity=WARNING, group="errors",
            expression=(
                f"100 * {q.failed_ratio('6h')}\nand {failed} >= 5\n"
                f"and {q.requests('1h', q.FAILED)} >= 1\n"
                # Where enough requests come, the error rate of five minutes has an alert.
                f"unless {q.requests('5m')} >= 20"
            ),
            band=Band(10), title="Requests failed in six hours", unit="%",
            panel=Panel(dashboard=d.SERVICE, title="Error ratio"),
            description="So few requests come that the error rate of five minutes says nothing; "
            "over six hours it does.",
        ),
    ]  # fmt: skip


def health() -> list[Rule]:
    """Health checks, as the application's own alerts see them."""
    critical, other = 'critical="true"', 'critical="false"'
    return [
        Rule(
            base=HEALTH_ALERT, severity=CRITICAL, group="health",
            expression=health_value(critical), band=Band(1.5), recover_s=0, panel=_HEALTH,
            title="Health check", about=("check",),
            text="Health check {{ $labels.check }} (2 is unhealthy, 0 healthy): <value>",
            description="Something the service cannot work without does not work.",
        ),
        Rule(
            base=HEALTH_ALERT, severity=WARNING, group="health",
            # Degraded, or unhealthy without being critical: both are 1 here.
            expression=(
                f"{health_value(critical)}\n"
                f"or clamp_max({health_value(other)}, 1)"
            ),
            band=Band(0.5, 1.5), wait_s=5 * MINUTE_S, panel=_HEALTH, title="Health check",
            about=("check",),
            text="Health check {{ $labels.check }} (1 is degraded, 0 healthy): <value>",
            description="Something the service depends on is slow, or a check that is not "
            "critical fails.",
        ),
    ]  # fmt: skip


def hosts() -> list[Rule]:
    """The rule for a disk that will be full soon."""
    used = q.series(c.SYSTEM_FILESYSTEM_UTILIZATION)
    group = q.by(q.HOST, q.MOUNT)

    def forecast(window: str, hours: int) -> str:
        line = f"max {group} (predict_linear({used}[{window}], {hours} * 3600))"
        # A disk that was just written to, or is half empty, has no line worth following.
        return f"100 * {line}\nand max {group} ({q.latest(c.SYSTEM_FILESYSTEM_UTILIZATION)}) > 0.6"

    text = "Disk {{ $labels.system_filesystem_mountpoint }} of {{ $labels.host_name }}: "
    return [
        Rule(
            base="DiskFillsSoon", severity=severity, group="host", panel=_DISK,
            expression=forecast(window, hours), band=Band(100), wait_s=wait * MINUTE_S,
            title="Disk",
            text=f"{text}<value> % full in {hours} hours if it goes on so (limit 100 %)",
            description="The disk is more than 60 % full and fills up at a steady pace.",
        )
        for severity, window, hours, wait in ((WARNING, "6h", 24, 30), (CRITICAL, "1h", 4, 10))
    ]  # fmt: skip


def workers() -> list[Rule]:
    """Workers that grow, and workers that do not live."""
    memory = c.PROCESS_MEMORY_USAGE
    per = q.by(q.HOST, *q.WORKER)
    # Averages over ten minutes, as memory goes up and down with each request.
    now = f"max {per} (avg_over_time({q.series(memory)}[10m]))"
    before = f"max {per} (avg_over_time({q.series(memory)}[10m] offset 2h))"
    each = f"count {q.by(q.HOST, *q.WORKER)}"
    seen = f"count {q.by()} ({each} (count_over_time({q.series(memory)}[10m])))"
    alive = f"count {q.by()} ({each} ({q.latest(memory)}))"
    ended = f"{seen} - {alive}"
    return [
        Rule(
            base="WorkerMemoryGrows", severity=WARNING, group="workers",
            # 64 MiB at least: a small worker that doubles endangers nothing.
            expression=f"100 * ({now} / {before} - 1)\nand {now} - {before} > {64 * MIB}",
            band=Band(50), wait_s=15 * MINUTE_S, title="Memory of worker",
            about=(q.HOST, q.PID), unit="% more than two hours ago", panel=_WORKER_MEMORY,
            description="A worker that only grows ends with the machine out of memory.",
        ),
        Rule(
            base="WorkersCrashLoop", severity=CRITICAL, group="workers",
            # Seen in the last ten minutes and not alive: so many ended. In a deployment as many
            # end as live afterwards, once; a service that was stopped has none that live. Then 0,
            # as a query without a result is a state of its own in Grafana.
            expression=f"({ended}) * ({ended} > bool 1.5 * {alive})", band=Band(10),
            wait_s=MINUTE_S,
            title="Workers that ended in ten minutes", panel=_WORKER_MEMORY,
            description="Workers start and end again at once: mostly an error at import, or the "
            "kernel ending them for want of memory.",
        ),
    ]  # fmt: skip


def silent() -> list[Rule]:
    """A service that was there and says nothing any more."""
    beat = f"max {q.by()} (max_over_time({q.series(c.HEARTBEAT)}[6h]))"
    return [
        Rule(
            base="AppSilent", severity=CRITICAL, group="silent",
            expression=f"time() - {beat}", band=Band(180), wait_s=MINUTE_S,
            title="Last sign of life", unit="s ago",
            panel=Panel(dashboard=d.HEALTH, title="Last sign of life"),
            description="No telemetry comes from a service that was there: it is down, or cannot "
            "reach the collector. A service that was taken down ends this alert after six hours.",
        ),
    ]  # fmt: skip


def telemetry() -> list[Rule]:
    """The library's own losses and delays."""
    dropped = f"sum {q.by('sink', 'reason')} ({q.increase(c.TELEMETRY_DROPPED, '15m')})"
    age = f"max {q.by(q.HOST, 'sink')} ({q.latest(c.TELEMETRY_SPOOL_AGE)})"
    internal = f"sum {q.by('where')} ({q.increase(c.INTERNAL_ERRORS, '15m')})"
    spool = partial(
        Rule, base="SpoolOld", group="telemetry", expression=age, title="Oldest telemetry of",
        about=("sink",), unit="s", panel=_SPOOL, wait_s=2 * MINUTE_S,
        description="The collector does not take what the service sends; it waits on disk.",
    )  # fmt: skip
    return [
        Rule(
            base="TelemetryDropped", severity=WARNING, group="telemetry", expression=dropped,
            band=Band(0.5), title="Records lost by", about=("sink", "reason"), panel=_DROPPED,
            unit="in 15 minutes", description="Logs, spans, metrics or messages were lost.",
        ),
        spool(severity=WARNING, band=Band(300, 3600)),
        spool(severity=CRITICAL, band=Band(3600)),
        Rule(
            base="TelemetryInternalErrors", severity=WARNING, group="telemetry",
            expression=internal, band=Band(0.5), title="Failures of the library at",
            about=("where",), unit="in 15 minutes", panel=_DROPPED,
            description="The library failed at a step; the application was not disturbed.",
        ),
    ]  # fmt: skip
