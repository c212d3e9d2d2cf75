"""Every alert of the shipped pack over time: fires when it should, is quiet when it should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from proletto_otel.stack import pack
from tests.stack import promtool
from tests.stack.promtool import Scene, absent, gauge, growing, http, steady
from tests.stack.servers import ROOT

ALERTS = yaml.safe_load((ROOT / "prometheus/alerts/default.yml").read_text())
RECORDED = ROOT / "prometheus/rules/default.yml"

CPU = gauge("system_cpu_utilization_ratio", 'scope="host"')
MEMORY = gauge("system_memory_utilization_ratio", 'scope="host"')
DISK = gauge("system_filesystem_utilization_ratio", 'system_filesystem_mountpoint="/"')
RSS = gauge("process_memory_usage_bytes")
HEARTBEAT = gauge("proletto_heartbeat_seconds")
ERRORS = 'level="ERROR", component="", exception_type="{}"'
QUEUE = 'otelcol_exporter_queue_{}{{exporter="otlp_http/loki", job="otel-collector"}}'
MB = 1024 * 1024


def bucket(edge: str) -> str:
    """A bucket of the latency histogram."""
    return http().replace("_count{", f'_bucket{{le="{edge}", ')


def status(check: str, state: str, critical: str = "true") -> str:
    """One state of a health check."""
    labels = f'check="{check}", state="{state}", critical="{critical}"'
    return gauge("proletto_health_check_status", labels)


def check_in(state: str, critical: str = "true") -> dict[str, str]:
    """A check that is healthy for ten minutes, then in *state* for twenty."""
    return {
        status("database", "healthy", critical): f"1x20 {steady(0, 20)}",
        status("database", state, critical): f"0x20 {steady(1, 20)}",
    }


def latency(slow_share: float) -> dict[str, str]:
    """Ten requests a second; that share of them takes between 1 and 2.5 s, the others 0.1 s."""
    return {
        bucket("0.1"): growing(10 * (1 - slow_share), 30),
        bucket("1"): growing(10 * (1 - slow_share), 30),
        bucket("2.5"): growing(10, 30),
        bucket("+Inf"): growing(10, 30),
        http(): growing(10, 30),
    }


SCENES = {
    # --- bands: a warning ends where the critical alert begins ---------------------------------
    "cpu between the limits": Scene(
        {CPU: steady(0.95, 40)},
        {"HighCpuWarning": [16, 30]},
        {"HighCpuWarning": [14], "HighCpuCritical": [30]},
    ),
    "cpu above both limits": Scene(
        {CPU: steady(0.99, 40)},
        {"HighCpuCritical": [16, 30]},
        {"HighCpuCritical": [14], "HighCpuWarning": [30]},
    ),
    "cpu at the limit": Scene(
        {CPU: steady(0.9, 40)}, {}, {"HighCpuWarning": [30], "HighCpuCritical": [30]}
    ),
    "cpu at the critical limit": Scene(
        {CPU: steady(0.98, 40)}, {"HighCpuWarning": [30]}, {"HighCpuCritical": [30]}
    ),
    "cpu is no number": Scene(
        {CPU: "NaN " * 80}, {}, {"HighCpuWarning": [30], "HighCpuCritical": [30]}
    ),
    "cpu for a short time": Scene(
        {CPU: f"0.99x20 {steady(0.2, 30)}"}, {}, {"HighCpuCritical": [9, 16, 25]}
    ),
    "cpu calms down": Scene(
        {CPU: f"{steady(0.99, 20)} {steady(0.2, 30)}"},
        {"HighCpuCritical": [20, 21]},
        {"HighCpuCritical": [26]},
    ),
    "a service with a pack of its own": Scene(
        {CPU: steady(0.99, 40), 'proletto:own_rules{service_name="shop"}': steady(1, 40)},
        {},
        {"HighCpuCritical": [20, 30], "HighCpuWarning": [20, 30]},
    ),
    "memory": Scene(
        {MEMORY: f"{steady(0.93, 20)} {steady(0.97, 20)}"},
        {"HighMemoryWarning": [10], "HighMemoryCritical": [30]},
        {"HighMemoryWarning": [30], "HighMemoryCritical": [10]},
    ),
    "disk": Scene(
        {DISK: f"{steady(0.9, 20)} {steady(0.97, 20)}"},
        {"DiskAlmostFullWarning": [10], "DiskAlmostFullCritical": [30]},
        {"DiskAlmostFullWarning": [30], "DiskAlmostFullCritical": [10]},
    ),
    "load": Scene(
        {gauge("system_cpu_load_average_15m"): steady(17, 30)},
        {"HighLoadLoad15Warning": [20]},
        {"HighLoadLoad15Warning": [10]},
    ),
    "open files of the worst worker": Scene(
        {
            gauge("process_unix_file_descriptor_count"): steady(100, 30),
            gauge("process_unix_file_descriptor_count", instance="w2"): steady(800, 30),
        },
        {"ManyOpenFilesWarning": [10]},
        {"ManyOpenFilesCritical": [10]},
    ),
    "a worker at its limit of open files": Scene(
        {gauge("process_unix_file_descriptor_count"): steady(1000, 30)},
        {"ManyOpenFilesCritical": [10]},
        {"ManyOpenFilesWarning": [10]},
    ),
    # --- requests ------------------------------------------------------------------------------
    "one request in fourteen fails": Scene(
        {http(): growing(6.5, 30), http(500): growing(0.5, 30)},
        {"HighErrorRateWarning": [12, 20]},
        {"HighErrorRateCritical": [20], "HighErrorRateWarning": [3]},
    ),
    "an outage at one request in ten seconds": Scene(
        {http(): f"{growing(0.1, 60)} 0x0", http(500): f"{steady(0, 60)} {growing(0.1, 30)}"},
        {"HighErrorRateCritical": [75, 85]},
        {"HighErrorRateCritical": [59]},
    ),
    "a single failure at one request in ten seconds": Scene(
        {http(): growing(0.1, 120), http(500): f"{steady(0, 60)} {steady(1, 60)}"},
        {},
        {
            alert: [61, 63, 66, 70, 90, 119]
            for alert in (
                "HighErrorRateWarning", "HighErrorRateCritical", "SloBurnsFastCritical",
                "SloBurnsSlowlyWarning", "FailuresAtLowTrafficWarning",
            )
        },
    ),
    "a failing night with a request in five minutes": Scene(
        {
            http(): "0x12 1x10 2x1000",
            http(500): f"0x12 {growing(1 / 300, 240)}",
        },
        {"FailuresAtLowTrafficWarning": [60, 200]},
        {"HighErrorRateCritical": [60, 200], "FailuresAtLowTrafficWarning": [5]},
    ),
    "probes fail": Scene(
        {http(): growing(1, 30), http(503, route="/readyz"): growing(1, 30)},
        {},
        {"HighErrorRateWarning": [20], "HighErrorRateCritical": [20]},
    ),
    "slow": Scene(
        latency(0.2),
        {"HighLatencyP95Warning": [20]},
        {"HighLatencyP95Critical": [20], "HighLatencyP95Warning": [8]},
    ),
    "very slow": Scene(
        {
            bucket("1"): growing(1, 30),
            bucket("2.5"): growing(1, 30),
            bucket("5"): growing(10, 30),
            bucket("+Inf"): growing(10, 30),
            http(): growing(10, 30),
        },
        {"HighLatencyP95Critical": [20]},
        {"HighLatencyP95Warning": [20]},
    ),
    "fast": Scene(latency(0.01), {}, {"HighLatencyP95Warning": [20]}),
    # --- objective -----------------------------------------------------------------------------
    "two per cent fail": Scene(
        {http(): growing(9.8, 120), http(500): growing(0.2, 120)},
        {"SloBurnsFastCritical": [30, 100]},
        {"HighErrorRateWarning": [100]},
    ),
    "a burst that ended": Scene(
        {http(): growing(10, 240), http(500): f"{growing(2, 5)} {steady(600, 235)}"},
        {},
        {"SloBurnsFastCritical": [40, 100, 200]},
    ),
    "half a per cent fails all day": Scene(
        {
            http(): growing(9.95, 1500, every_s=60),
            http(500): growing(0.05, 1500, every_s=60),
        },
        {"SloBurnsSlowlyWarning": [1400]},
        {"SloBurnsFastCritical": [1400]},
        every_s=60,
    ),
    "fewer than the objective allows": Scene(
        {
            http(): growing(9.995, 1500, every_s=60),
            http(500): growing(0.005, 1500, every_s=60),
        },
        {},
        {"SloBurnsSlowlyWarning": [200, 1400], "SloBurnsFastCritical": [200, 1400]},
        every_s=60,
    ),
    "workers are recycled every five minutes": Scene(
        {
            http(instance=f"w{n}"): f"{absent(5 * n)} {growing(10, 5)}" for n in range(12)
        },
        {},
        {"SloBurnsFastCritical": [30, 55], "HighErrorRateWarning": [30, 55]},
    ),
    # --- errors --------------------------------------------------------------------------------
    "a surge": Scene(
        {
            gauge("proletto_errors_total", ERRORS.format("KeyError")):
                f"{growing(0.01, 80)} {growing(1, 20, start=48)}",
        },
        {"ErrorSurgeWarning": [86]},
        {"ErrorSurgeWarning": [70]},
    ),
    "as many errors as ever": Scene(
        {gauge("proletto_errors_total", ERRORS.format("KeyError")): growing(1, 120)},
        {},
        {"ErrorSurgeWarning": [100]},
    ),
    "a new error": Scene(
        {
            http(): growing(1, 120),
            gauge("proletto_errors_total", ERRORS.format("KeyError")): growing(0.1, 120),
            gauge("proletto_errors_total", ERRORS.format("ValueError")): f"{absent(60)} 3x40",
        },
        {"NewErrorTypeWarning": [61, 70]},
        {"NewErrorTypeWarning": [59, 100]},
    ),
    "a known error in a worker that started anew": Scene(
        {
            http(): growing(1, 120),
            gauge("proletto_errors_total", ERRORS.format("KeyError")): growing(0.1, 60),
            gauge("proletto_errors_total", ERRORS.format("KeyError"), "w2"): f"{absent(60)} 1x100",
        },
        {},
        {"NewErrorTypeWarning": [61, 70, 90]},
    ),
    "the first error of a new service": Scene(
        {
            http(): growing(1, 20),
            gauge("proletto_errors_total", ERRORS.format("KeyError")): "1x40",
        },
        {},
        {"NewErrorTypeWarning": [5, 12]},
    ),
    # --- health --------------------------------------------------------------------------------
    "a critical check is unhealthy": Scene(
        check_in("unhealthy"),
        {"HealthCheckFailingCritical": [12, 20]},
        {"HealthCheckFailingCritical": [8], "HealthCheckFailingWarning": [20]},
    ),
    "a critical check is degraded": Scene(
        check_in("degraded"),
        {"HealthCheckFailingWarning": [18]},
        {"HealthCheckFailingWarning": [14], "HealthCheckFailingCritical": [20]},
    ),
    "a check that is not critical is unhealthy": Scene(
        check_in("unhealthy", critical="false"),
        {"HealthCheckFailingWarning": [18]},
        {"HealthCheckFailingCritical": [20]},
    ),
    "a check that nobody knows": Scene(
        check_in("unknown"),
        {},
        {"HealthCheckFailingCritical": [20], "HealthCheckFailingWarning": [20]},
    ),
    # --- hosts and workers ---------------------------------------------------------------------
    "a disk that is full tomorrow": Scene(
        {DISK: "0.65+0.0003x420"},
        {"DiskFillsSoonWarning": [300]},
        {"DiskFillsSoonCritical": [300]},
        every_s=60,
    ),
    "a disk that is full in two hours": Scene(
        {DISK: "0.65+0.0025x100"}, {"DiskFillsSoonCritical": [80]}, {}, every_s=60
    ),
    "a disk that is emptied": Scene(
        {DISK: "0.9-0.001x400"}, {}, {"DiskFillsSoonWarning": [300]}, every_s=60
    ),
    "a worker that grows": Scene(
        {RSS: f"{200 * MB}+{2 * MB}x300"}, {"WorkerMemoryGrowsWarning": [200]}, {}, every_s=60
    ),
    "a worker that warms up": Scene(
        {RSS: f"{100 * MB}+{MB}x30 {130 * MB}x300"},
        {},
        {"WorkerMemoryGrowsWarning": [60, 150, 300]},
        every_s=60,
    ),
    "workers that end at once": Scene(
        {
            gauge("process_memory_usage_bytes", instance=f"w{n}"): f"{absent(n / 2)} 1e8 1e8"
            for n in range(60)
        },
        {"WorkersCrashLoopCritical": [20]},
        {},
    ),
    "workers of one host that end at once": Scene(  # one of them sends for all
        {
            gauge("process_memory_usage_bytes", f'process_pid="{n}"'): f"{absent(n / 2)} 1e8 1e8"
            for n in range(60)
        },
        {"WorkersCrashLoopCritical": [20]},
        {},
    ),
    "a worker that grows beside a larger one": Scene(
        {
            gauge("process_memory_usage_bytes", 'process_pid="7"'): f"{900 * MB}x600",
            gauge("process_memory_usage_bytes", 'process_pid="8"'): f"{200 * MB}+{2 * MB}x300",
        },
        {"WorkerMemoryGrowsWarning": [200]},
        {},
        every_s=60,
    ),
    "a deployment of many workers": Scene(  # each ends once
        {
            **{
                gauge("process_memory_usage_bytes", f'process_pid="{n}"'): "1e8x40 _x80"
                for n in range(16)
            },
            **{
                gauge("process_memory_usage_bytes", f'process_pid="1{n}"'): f"{absent(20)} 1e8x80"
                for n in range(100, 116)
            },
        },
        {},
        {"WorkersCrashLoopCritical": [21, 23, 25, 27, 29]},
    ),
    "a service of many workers is stopped": Scene(
        {
            gauge("process_memory_usage_bytes", f'process_pid="{n}"'): "1e8x40 _x80"
            for n in range(16)
        },
        {},
        {"WorkersCrashLoopCritical": [21, 23, 25, 27, 29]},
    ),
    "a deployment": Scene(
        {
            **{gauge("process_memory_usage_bytes", instance=f"a{n}"): "1e8x40" for n in range(4)},
            **{
                gauge("process_memory_usage_bytes", instance=f"b{n}"): f"{absent(20)} 1e8x40"
                for n in range(4)
            },
        },
        {},
        {"WorkersCrashLoopCritical": [21, 25, 30]},
    ),
    "a silent application": Scene(
        {HEARTBEAT: f"0+30x40 {absent(400)}"},
        {"AppSilentCritical": [26, 200, 370]},
        {"AppSilentCritical": [15, 22, 390]},
    ),
    # --- telemetry -----------------------------------------------------------------------------
    "records are lost": Scene(
        {
            gauge("proletto_telemetry_dropped_total", 'sink="otlp_logs", reason="queue_full"'):
                f"0x20 {steady(100, 40)}"
        },
        {"TelemetryDroppedWarning": [12, 20]},
        {"TelemetryDroppedWarning": [8, 40]},
    ),
    "a spool of ten minutes, then of two hours": Scene(
        {
            gauge("proletto_telemetry_spool_age_seconds", 'sink="otlp_logs"'):
                f"{steady(600, 20)} {steady(7200, 20)}"
        },
        {"SpoolOldWarning": [10], "SpoolOldCritical": [30]},
        {"SpoolOldCritical": [10], "SpoolOldWarning": [30]},
    ),
    "the library fails at a step": Scene(
        {
            gauge("proletto_telemetry_internal_errors_total", 'where="request.capture"'):
                f"0x20 {steady(4, 40)}"
        },
        {"TelemetryInternalErrorsWarning": [12]},
        {"TelemetryInternalErrorsWarning": [8, 40]},
    ),
    # --- the stack -----------------------------------------------------------------------------
    "the collector refuses": Scene(
        {
            'otelcol_receiver_refused_spans{receiver="otlp"}': "0x20 0+30x40",
            'otelcol_receiver_refused_log_records{receiver="otlp"}': "0x60",
        },
        {"CollectorRefusesWarning": [20]},
        {"CollectorRefusesWarning": [9]},
    ),
    "a store does not take it": Scene(
        {'otelcol_exporter_send_failed_log_records{exporter="otlp_http/loki"}': "0+30x60"},
        {"CollectorExportFailsWarning": [20]},
        {"CollectorExportFailsWarning": [3]},
    ),
    "the queue has no room": Scene(
        {'otelcol_exporter_enqueue_failed_metric_points{exporter="otlp_http/loki"}': "0+30x60"},
        {"CollectorLosesCritical": [20]},
        {},
    ),
    "the queue fills": Scene(
        {
            QUEUE.format("size"): f"{steady(10, 20)} {steady(60, 20)} {steady(90, 20)}",
            QUEUE.format("capacity"): steady(100, 60),
        },
        {"CollectorQueueFullWarning": [30], "CollectorQueueFullCritical": [50]},
        {"CollectorQueueFullWarning": [15, 50], "CollectorQueueFullCritical": [30]},
    ),
    "loki refuses lines": Scene(
        {'loki_discarded_samples_total{reason="too_far_behind"}': "0x20 0+30x40"},
        {"LokiDiscardsWarning": [20]},
        {"LokiDiscardsWarning": [9]},
    ),
    "parts of the stack go": Scene(
        {
            f'up{{job="{job}"}}': f"1x20 {steady(0, 20)}"
            for job in ("otel-collector", "prometheus", "loki", "tempo")
        },
        {
            alert: [15, 25]
            for alert in (
                "CollectorDownCritical", "PrometheusDownCritical", "LokiDownCritical",
                "TempoDownCritical",
            )
        },
        {alert: [9] for alert in ("CollectorDownCritical", "LokiDownCritical")},
    ),
    "the stack restarts": Scene(
        {f'up{{job="{job}"}}': "1x20 0x2 1x40" for job in ("otel-collector", "loki", "tempo")},
        {},
        {
            alert: [11, 12, 13, 20]
            for alert in ("CollectorDownCritical", "LokiDownCritical", "TempoDownCritical")
        },
    ),
    "nothing at all": Scene(
        {f'up{{job="{job}"}}': "1x60" for job in ("otel-collector", "prometheus", "loki", "tempo")},
        {"Watchdog": [1, 10, 30]},
        {rule.name: [30] for rule in pack.shipped().rules if rule.name != "Watchdog"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_alert_over_time(name: str, tmp_path: Path) -> None:
    """promtool agrees with the scene."""
    promtool.check(tmp_path, ALERTS, RECORDED, SCENES[name])


def test_every_alert_has_a_scene_in_which_it_fires() -> None:
    """No rule is shipped that was never seen to fire, nor one that was never seen quiet."""
    names = {rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]}
    fired = {alert for scene in SCENES.values() for alert in scene.fires}
    quiet = {alert for scene in SCENES.values() for alert in scene.quiet} | {"Watchdog"}

    assert set() == names - fired
    assert set() == names - quiet
