"""Telemetry pipeline: whether what the applications say arrives, and what it costs."""

from __future__ import annotations

from proletto_otel.core import conventions as c
from proletto_otel.stack import dashboard_uids as d
from proletto_otel.stack import promql as q
from proletto_otel.stack.pipeline_rules import rate_of
from tools.dashboards import panels as p
from tools.dashboards.dashboard import PICKED, RATE, VARIABLES, Dashboard, Row

WELL = "None, as it should be."


def _sink(name: str) -> str:
    return f"{{{{{name}}}}}"


def dashboard() -> Dashboard:
    """The dashboard of the telemetry itself."""
    stack = [
        p.up_or_down("Parts that answer", "Those that answer Prometheus are up.", width=12,
                     height=5),
        p.stat("Memory of the stack", "Resident memory of each part.",
               p.promql('process_resident_memory_bytes{job=~"prometheus|loki|tempo|grafana"}',
                        "{{job}}"),
               p.promql("otelcol_process_memory_rss", "{{job}}"), unit="bytes", width=12, height=5),
        p.timeseries("Taken by the collector", "Spans, metric points and log records a second.",
                     p.promql(rate_of("otelcol_receiver_accepted", "signal"), "{{signal}}"),
                     unit="cps"),
        p.timeseries("Passed on by the collector", "To the stores, a second.",
                     p.promql(rate_of("otelcol_exporter_sent", "exporter"), "{{exporter}}"),
                     unit="cps"),
        p.timeseries("Collector queues", "What waits on disk for a store, of what fits.",
                     p.promql("100 * max by (exporter) (otelcol_exporter_queue_size / "
                              "otelcol_exporter_queue_capacity)", "{{exporter}}"), unit="percent",
                     steps=p.steps((None, p.GREEN), (50, p.AMBER), (80, p.RED))).max(100),
        p.timeseries("Refused and failed", "Refused by the collector, not taken by a store.",
                     p.promql(rate_of("otelcol_receiver_refused", "receiver"),
                              "refused {{receiver}}"),
                     p.promql(rate_of("otelcol_exporter_send_failed", "exporter"),
                              "not taken {{exporter}}"),
                     p.promql("sum by (reason) (rate(loki_discarded_samples_total[5m]))",
                              "Loki: {{reason}}"), unit="cps", empty_while_well=WELL),
    ]  # fmt: skip
    by_sink = "sum by (sink)"
    library = [
        p.timeseries("Delivered, by sink", "Records a second that arrived where the sink sends.",
                     p.promql(f"{by_sink} (rate({q.series(c.TELEMETRY_DELIVERED, PICKED)}"
                              f"[{RATE}]))", _sink("sink")), unit="cps"),
        p.timeseries("Telemetry lost, by sink and reason", "Records in five minutes.",
                     p.promql("sum by (sink, reason) (increase("
                              f"{q.series(c.TELEMETRY_DROPPED, PICKED)}[5m])) > 0",
                              "{{sink}} {{reason}}"), unit="short", empty_while_well=WELL),
        p.timeseries("Oldest telemetry waiting on disk", "0: nothing waits.",
                     p.promql("max by (service_name, sink) "
                              f"({q.latest(c.TELEMETRY_SPOOL_AGE, PICKED)})",
                              "{{service_name}} {{sink}}"), unit="s",
                     steps=p.steps((None, p.GREEN), (300, p.AMBER), (3600, p.RED))),
        p.timeseries("Waiting in memory and on disk", "Records, and bytes on disk.",
                     p.promql(f"{by_sink} ({q.latest(c.TELEMETRY_QUEUE_SIZE, PICKED)})",
                              "in memory {{sink}}"),
                     p.promql(f"{by_sink} ({q.latest(c.TELEMETRY_SPOOL_BYTES, PICKED)})",
                              "bytes on disk {{sink}}"), unit="short"),
        p.timeseries("Duration of exports", "95 % of the exports were faster.",
                     p.promql("histogram_quantile(0.95, sum by (le, sink) (rate("
                              f"{c.TELEMETRY_EXPORT_DURATION.prometheus}_bucket{{{PICKED}}}"
                              f"[{RATE}])))", _sink("sink")), unit="s"),
        p.timeseries("Failures of the library", "By step, in five minutes; the application was "
                     "not disturbed.",
                     p.promql("sum by (where) (increase("
                              f"{q.series(c.INTERNAL_ERRORS, PICKED)}[5m])) > 0", _sink("where")),
                     unit="short", empty_while_well=WELL),
    ]  # fmt: skip
    return Dashboard(
        uid=d.PIPELINE, title="Telemetry pipeline", variables=VARIABLES, annotations=False,
        description="Collector, stores, and the library's own queues, losses and delays.",
        rows=[Row("The stack", stack), Row("The applications", library)],
    )  # fmt: skip
