"""Rules about the stack itself: the collector, the stores, and that alerts work at all."""

from __future__ import annotations

from functools import partial

from proletto_otel.core.severity import CRITICAL, WARNING
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack.rule import MINUTE_S, NO_SEVERITY, Band, Panel, Rule

SIGNALS = ("spans", "metric_points", "log_records")
JOBS = {
    "CollectorDown": "otel-collector", "PrometheusDown": "prometheus", "LokiDown": "loki",
    "TempoDown": "tempo",
}  # fmt: skip
_UP = Panel(dashboard=d.PIPELINE, title="Parts that answer")
_REFUSED = Panel(dashboard=d.PIPELINE, title="Refused and failed")
_QUEUE = Panel(dashboard=d.PIPELINE, title="Collector queues")


def rate_of(name: str, label: str) -> str:
    """How many a second by *label*, all signals together; no series before the first one."""
    # The rates of three signals have the same labels: without one more they could not be added up.
    rates = (
        f'label_replace(rate({name}_{signal}[5m]), "signal", "{signal}", "", "")'
        for signal in SIGNALS
    )
    return f"sum by ({label}) ({' or '.join(rates)})"


def collector() -> list[Rule]:
    """What the collector refuses, fails to pass on, or keeps waiting."""
    fill = "100 * max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)"
    queue = partial(
        Rule, base="CollectorQueueFull", group="collector", expression=fill, unit="% full",
        title="Collector queue", about=("exporter",), panel=_QUEUE, wait_s=5 * MINUTE_S,
        description="A store takes less than comes in. At 100 % the collector refuses, and the "
        "applications keep it on their disks.",
    )  # fmt: skip
    return [
        Rule(
            base="CollectorRefuses", severity=WARNING, group="collector",
            expression=rate_of("otelcol_receiver_refused", "receiver"), band=Band(0),
            wait_s=5 * MINUTE_S, title="Refused by", about=("receiver",), unit="a second",
            panel=_REFUSED,
            description="The collector is short of memory; the applications try again later.",
        ),
        Rule(
            base="CollectorExportFails", severity=WARNING, group="collector",
            expression=rate_of("otelcol_exporter_send_failed", "exporter"), band=Band(0),
            wait_s=5 * MINUTE_S, title="Not taken by", about=("exporter",), unit="a second",
            panel=_REFUSED,
            description="A store refuses what the collector sends. What it may take later is kept; "
            "what it never will is lost.",
        ),
        Rule(
            base="CollectorLoses", severity=CRITICAL, group="collector",
            expression=rate_of("otelcol_exporter_enqueue_failed", "exporter"), band=Band(0),
            wait_s=2 * MINUTE_S, title="No room in the queue to", about=("exporter",),
            unit="a second", panel=_REFUSED,
            description="The collector's queue on disk is full, or its disk is.",
        ),
        queue(severity=WARNING, band=Band(50, 80)),
        queue(severity=CRITICAL, band=Band(80)),
        Rule(
            base="LokiDiscards", severity=WARNING, group="collector",
            expression="sum by (reason) (rate(loki_discarded_samples_total[5m]))", band=Band(0),
            wait_s=2 * MINUTE_S, title="Lines refused by Loki:", about=("reason",),
            unit="a second", panel=_REFUSED,
            description="Loki takes no line that is too old, too long or too much.",
        ),
    ]  # fmt: skip


def parts() -> list[Rule]:
    """Parts of the stack that do not answer; each is asked for by Prometheus every 30 s."""
    return [
        Rule(
            base=base, severity=CRITICAL, group="stack",
            # Without the part's series at all (never scraped) the alert fires, too.
            expression=f'min(up{{job="{job}"}}) or vector(0)', band=Band(0.5, below=True),
            wait_s=2 * MINUTE_S, title=f"{job} answers (1) or not (0)", panel=_UP,
            fires_without_data=base == "PrometheusDown",
            description=f"{job} does not answer, or Prometheus cannot be asked about it.",
        )
        for base, job in JOBS.items()
    ]  # fmt: skip


def watchdog() -> Rule:
    """Always fires: whoever stops hearing it knows that alerts do not work."""
    return Rule(
        base="Watchdog", severity=NO_SEVERITY, group="stack", expression="vector(1)",
        band=Band(0), title="Alerts work", panel=_UP, fires_without_data=True,
        text="Alerts work. Whoever stops hearing this knows that they do not.",
        description="Fires at all times; HEARTBEAT_URL in .env gets it.",
    )  # fmt: skip
