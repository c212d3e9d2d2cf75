"""Alert rules over invented time: `promtool test rules` with scenes written in Python.

A scene is a set of series and statements like "HighCpuWarning fires at minute 20".
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.stack.servers import binary
from tests.waiting import PATIENCE_S

SHOP = 'service_name="shop", deployment_environment_name="production", host_name="h1", job="shop"'
EVERY_S = 30
"""Seconds between two samples of a scene."""


@dataclass(frozen=True)
class Scene:
    """What happens, and which alert fires when."""

    series: Mapping[str, str]
    """Series -> values in promtool's notation, one per `every_s`."""
    fires: Mapping[str, Iterable[int]]
    """Alert -> minutes at which it fires."""
    quiet: Mapping[str, Iterable[int]]
    """Alert -> minutes at which it does not."""
    every_s: int = EVERY_S


def samples(minutes: float, every_s: int = EVERY_S) -> int:
    """How many samples such a time has."""
    return int(minutes * 60 / every_s)


def steady(value: float, minutes: float, every_s: int = EVERY_S) -> str:
    """A gauge that stays."""
    return f"{value}x{samples(minutes, every_s)}"


def growing(a_second: float, minutes: float, start: float = 0, every_s: int = EVERY_S) -> str:
    """A counter that grows evenly."""
    return f"{start}+{a_second * every_s}x{samples(minutes, every_s)}"


def absent(minutes: float, every_s: int = EVERY_S) -> str:
    """No samples."""
    return f"_x{samples(minutes, every_s)}"


def http(status: int = 200, instance: str = "w1", route: str = "/orders") -> str:
    """A request counter."""
    return (
        f'http_server_request_duration_seconds_count{{{SHOP}, instance="{instance}", '
        f'http_route="{route}", http_request_method="GET", http_response_status_code="{status}"}}'
    )


def gauge(name: str, labels: str = "", instance: str = "w1") -> str:
    """A series of the shop."""
    return f'{name}{{{SHOP}, instance="{instance}"{", " if labels else ""}{labels}}}'


def check(folder: Path, rules: Mapping[str, Any], recorded: Path, scene: Scene) -> None:
    """Run the scene over the alerting *rules*; fails with what promtool saw instead."""
    # Only the groups it is about: all of them, a minute at a time, would take half a minute.
    named = {*scene.fires, *scene.quiet}
    used = [g for g in rules["groups"] if named & {rule["alert"] for rule in g["rules"]}]
    alerts = folder / "alerts.yml"
    alerts.write_text(yaml.safe_dump({"groups": used}))
    slo = any("Slo" in name for name in named)
    document = {
        "rule_files": [str(alerts), *([str(recorded)] if slo else [])],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": f"{scene.every_s}s",
                "input_series": [
                    {"series": name, "values": values} for name, values in scene.series.items()
                ],
                "promql_expr_test": [
                    *_statements(scene.fires, firing=True),
                    *_statements(scene.quiet, firing=False),
                ],
            }
        ],
    }
    path = folder / "scene.yml"
    path.write_text(yaml.safe_dump(document))
    command = [binary("promtool"), "test", "rules", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert 0 == done.returncode, done.stdout + done.stderr


def _statements(fires: Mapping[str, Iterable[int]], *, firing: bool) -> list[dict[str, Any]]:
    return [
        {
            "expr": f'group(ALERTS{{alertname="{alert}", alertstate="firing"}})',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": "{}", "value": 1}] if firing else [],
        }
        for alert, minutes in fires.items()
        for minute in minutes
    ]
