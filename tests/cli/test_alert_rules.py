"""`alert-rules`: an application's thresholds, checks and objectives as rules for the stack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack import promtool
from tests.stack.promtool import Scene, gauge, growing, http, steady
from tests.waiting import PATIENCE_S

APP = """
from flask import Flask
from proletto_otel import setup_telemetry
from proletto_otel.monitoring import monitor

app = Flask(__name__)
setup_telemetry(app)
monitor.register_threshold("cpu_percent", warning_threshold=80, critical_threshold=95, duration=300)
monitor.register_gauge("queue.depth", lambda: 3, unit="{job}", title="Jobs waiting")
monitor.register_threshold("queue.depth", warning_threshold=100, duration=60)
monitor.register_gauge("free.seats", lambda: 9)
monitor.register_threshold("free.seats", critical_threshold=2, direction="below")
monitor.register_health_check("bank", lambda: True)
monitor.register_slo("checkout", objective=0.99, route="/checkout")
monitor.register_slo("speed", objective=0.9, sli="latency", latency_threshold=0.5)
"""
RULES = "grafana/provisioning/alerting/rules-shop.yaml"


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command where the application's module is."""
    env = {
        **os.environ, "OTEL_SERVICE_NAME": "shop", "LOG_DIR": str(folder / "logs"),
        "PROLETTO_ALERTS": "grafana", "PROLETTO_STRICT": "1",
        # a module that is written twice in a second is taken from the bytecode of the first time
        "PYTHONDONTWRITEBYTECODE": "1", **variables,
    }  # fmt: skip
    command = [sys.executable, "-m", "proletto_otel", "alert-rules", *words]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the application."""
    (tmp_path / "shop_app.py").write_text(APP)
    return tmp_path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the application."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "shop_app.py").write_text(APP)
    done = run(folder, "shop_app:app", "--out", "stack")
    assert 0 == done.returncode, done.stderr
    return folder / "stack"


def grafana(folder: Path) -> dict[str, dict[str, Any]]:
    """Grafana's rules by name."""
    document = yaml.safe_load((folder / RULES).read_text())
    return {rule["title"]: rule for group in document["groups"] for rule in group["rules"]}


def test_everything_registered_becomes_a_rule(written: Path) -> None:
    """Thresholds, gauges, checks and objectives; defaults where nothing else was said."""
    names = set(grafana(written))

    assert {
        "HighCpuWarning", "HighCpuCritical", "CustomGaugeQueueDepthWarning",
        "CustomGaugeFreeSeatsCritical", "HealthCheckFailingBankWarning",
        "HealthCheckFailingBankCritical", "SloBurnsFastCritical", "SloBurnsSlowlyWarning",
        "DiskAlmostFullWarning",
    } <= names  # fmt: skip


def test_limits_are_the_registered_ones(written: Path) -> None:
    """`exceeds` is strictly greater, and the warning ends where critical begins."""
    rules = grafana(written)

    (_, band) = rules["HighCpuWarning"]["data"]
    assert "is_number($A) && $A > 80 && $A <= 95" == band["model"]["expression"]
    (_, band) = rules["CustomGaugeFreeSeatsCritical"]["data"]
    assert "is_number($A) && $A < 2" == band["model"]["expression"]
    assert "5m" == rules["HighCpuWarning"]["for"]


def test_rules_are_about_this_service(written: Path) -> None:
    """Every query picks it, or reads a series that was recorded for it."""
    for rule in grafana(written).values():
        assert 'service_name="shop"' in rule["data"][0]["model"]["expr"]


def test_files_go_where_the_stack_reads_them(written: Path) -> None:
    """Beside what rules need: policies, templates, contact points."""
    made = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}

    assert {
        RULES, "prometheus/rules/shop.yml", "prometheus/alerts/shop.yml",
        "grafana/provisioning/alerting/policies.yaml",
        "grafana/provisioning/alerting/templates.yaml", "grafana/contact-points/slack-bot.yaml",
    } <= made  # fmt: skip


SCENES = {
    "cpu at its own limits": Scene(
        {
            gauge("system_cpu_utilization_ratio", 'scope="host"'): steady(0.85, 30),
            'proletto:own_rules{service_name="shop"}': steady(1, 30),
        },
        {"HighCpuWarning": [10]},
        {"HighCpuCritical": [10], "HighCpuWarning": [3]},
    ),
    "a gauge": Scene(
        {gauge("queue_depth"): steady(101, 20)}, {"CustomGaugeQueueDepthWarning": [5]}, {}
    ),
    "a gauge at its limit": Scene(
        {gauge("queue_depth"): steady(100, 20)}, {}, {"CustomGaugeQueueDepthWarning": [5, 15]}
    ),
    "a gauge where low is bad": Scene(
        {gauge("free_seats"): f"{steady(2, 10)} {steady(1, 10)}"},
        {"CustomGaugeFreeSeatsCritical": [15]},
        {"CustomGaugeFreeSeatsCritical": [5]},
    ),
    "one worker of two is bad": Scene(
        {gauge("free_seats"): steady(9, 20), gauge("free_seats", instance="w2"): steady(1, 20)},
        {"CustomGaugeFreeSeatsCritical": [15]},
        {},
    ),
    "an objective of one route": Scene(
        {
            http(route="/checkout"): growing(1, 60),
            http(500, route="/checkout"): growing(0.5, 60),
        },
        {"SloBurnsFastCritical": [30]},
        {},
    ),
    "another route fails": Scene(
        {
            http(route="/checkout"): growing(1, 60),
            http(route="/checkout").replace("_count{", '_bucket{le="0.5", '): growing(1, 60),
            http(500): growing(0.05, 60),
        },
        {},
        {"SloBurnsFastCritical": [30, 55]},
    ),
    "half is slower than promised": Scene(
        {
            http(): growing(2, 400, every_s=60),
            http().replace("_count{", '_bucket{le="0.5", '): growing(1, 400, every_s=60),
        },
        {"SloBurnsSlowlyWarning": [300]},
        {},
        every_s=60,
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_rules_over_time(written: Path, tmp_path: Path, name: str) -> None:
    """promtool agrees with the scene."""
    alerts = yaml.safe_load((written / "prometheus/alerts/shop.yml").read_text())
    promtool.check(tmp_path, alerts, written / "prometheus/rules/shop.yml", SCENES[name])


def test_check_passes_until_a_limit_changes(folder: Path) -> None:
    """In CI `--check` says that somebody changed a threshold and forgot the rules."""
    run(folder, "shop_app:app")
    assert 0 == run(folder, "shop_app:app", "--check").returncode

    (folder / "shop_app.py").write_text(APP.replace("warning_threshold=80", "warning_threshold=70"))
    done = run(folder, "shop_app:app", "--check")

    assert 1 == done.returncode
    assert f"{RULES} is out of date" in done.stderr


def test_rule_that_is_gone_is_deleted_in_grafana(folder: Path) -> None:
    """Grafana keeps a rule that merely vanishes from its file."""
    run(folder, "shop_app:app")
    uid = grafana(folder)["CustomGaugeQueueDepthWarning"]["uid"]
    (folder / "shop_app.py").write_text(
        "".join(line for line in APP.splitlines(keepends=True) if "queue.depth" not in line)
    )
    run(folder, "shop_app:app")

    document = yaml.safe_load((folder / RULES).read_text())
    assert [{"orgId": 1, "uid": uid}] == document["deleteRules"]


@pytest.mark.parametrize("who", ["local", "both"])
def test_application_that_tells_people_itself_is_not_repeated(folder: Path, who: str) -> None:
    """Thresholds and checks are paused in Grafana; objectives are Grafana's alone."""
    run(folder, "shop_app:app", PROLETTO_ALERTS=who)
    paused = {name for name, rule in grafana(folder).items() if rule["isPaused"]}

    assert {"HighCpuWarning", "HealthCheckFailingBankCritical"} <= paused
    assert not {name for name in paused if name.startswith("Slo")}


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("nowhere:app", "nowhere"),
        ("broken:app", "broken:app could not be loaded"),
        ("plain:app", "plain:app does not call setup_telemetry or init_app"),
    ],
)
def test_application_that_cannot_be_used_is_explained(folder: Path, app: str, said: str) -> None:
    """One line, no traceback, exit status 1 or 2."""
    (folder / "broken.py").write_text("raise RuntimeError('no database')")
    (folder / "plain.py").write_text("from flask import Flask\napp = Flask(__name__)")
    done = run(folder, app)

    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
