"""Grafana's messages, rendered by Go's own template engine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from proletto_otel.stack.message_templates import templates_file
from tests.stack.servers import missing
from tests.waiting import PATIENCE_S

TEXT = templates_file()["templates"][0]["template"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The renderer, built once."""
    if shutil.which("go") is None:
        missing("go is not installed", "https://go.dev/dl")
    path = tmp_path_factory.mktemp("templates") / "render"
    here = Path(__file__).parent / "templates"
    subprocess.run(["go", "build", "-o", str(path), "."], cwd=here, check=True, timeout=PATIENCE_S)
    return path


def alert(severity: str = "critical", status: str = "firing", **more: Any) -> dict[str, Any]:
    """One alert as Grafana hands it over."""
    labels = {
        "service_name": "shop & co", "deployment_environment_name": "production",
        "severity": severity,
    }  # fmt: skip
    return {
        "Status": status,
        "Labels": labels,
        "Annotations": {
            "summary": "CPU usage <h1>: 97 % (critical above 95 %)",
            "description": "Requests queue.",
            "runbook_url": "/d/proletto-runbook?viewPanel=7",
        },
        "StartsAt": "2026-01-02T03:04:05Z",
        "EndsAt": "2026-01-02T03:14:05Z",
        "PanelURL": "http://grafana/d/proletto-system?viewPanel=3",
        "SilenceURL": "http://grafana/silence",
        **more,
    }


def render(program: Path, name: str, *alerts: dict[str, Any]) -> str:
    """The text of a template for these alerts."""
    data = {
        "Alerts": list(alerts), "ExternalURL": "http://grafana/",
        "GroupLabels": {"alertname_base": "HighCpu", "service_name": "shop"},
    }  # fmt: skip
    asked = json.dumps({"Text": TEXT, "Name": f"proletto.{name}", "Data": data})
    done = subprocess.run(
        [str(program)], input=asked, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def test_title_says_the_worst(program: Path) -> None:
    """A group of a warning and a critical alert is critical, and says how many fire."""
    shown = render(program, "title", alert("warning"), alert("critical"))

    assert ":red_circle: CRITICAL HighCpu on shop (2 firing)" == shown


def test_warning_is_no_critical(program: Path) -> None:
    """Also when a critical alert of the group has ended."""
    ended = alert("critical", "resolved")

    assert ":warning: WARNING HighCpu on shop" == render(program, "title", alert("warning"), ended)
    assert "#E8A317" == render(program, "colour", alert("warning"), ended)


def test_resolved_is_resolved_when_nothing_fires(program: Path) -> None:
    """Only then, and it says how long it lasted."""
    ended = alert(status="resolved")

    assert ":white_check_mark: RESOLVED HighCpu on shop" == render(program, "title", ended)
    assert "lasted 10m0s, ended 2026-01-02 03:14:05 UTC" in render(program, "text", ended)
    assert "#2eb67d" == render(program, "colour", ended)


def test_text_has_value_since_and_links(program: Path) -> None:
    """What happened, since when, where; five links."""
    shown = render(program, "text", alert())

    assert "CPU usage &lt;h1&gt;: 97 % (critical above 95 %)" in shown
    assert "since 2026-01-02 03:04:05 UTC in production" in shown
    names = ("Panel", "Logs", "Traces", "Runbook", "Silence")
    assert list(names) == [part.split(">")[0] for part in shown.split("|")[2::2]]
    assert "<http://grafana/d/proletto-runbook?viewPanel=7|Runbook>" in shown


def test_links_pick_the_service(program: Path) -> None:
    """Panel and Explore show the service of the alert, whatever its name holds."""
    shown = render(program, "text", alert())
    urls = [part.split("<")[-1] for part in shown.split("|") if "http" in part]
    panel, logs = urls[0], urls[1]

    assert ["shop & co"] == parse_qs(urlsplit(panel).query)["var-service"]
    pane = json.loads(parse_qs(urlsplit(logs).query)["panes"][0])["a"]
    assert pane["queries"][0]["expr"].startswith('{service_name="shop & co"}')


def test_alert_of_the_stack_has_no_log_link(program: Path) -> None:
    """It is about no service."""
    one = alert()
    del one["Labels"]["service_name"]

    assert "|Logs>" not in render(program, "text", one)


def test_runbook_of_your_own_is_linked_as_it_is(program: Path) -> None:
    """An address of elsewhere is not put below Grafana's."""
    one = alert()
    one["Annotations"]["runbook_url"] = "https://wiki/runbook#highcpu"

    assert "<https://wiki/runbook#highcpu|Runbook>" in render(program, "text", one)


def test_many_alerts_are_cut(program: Path) -> None:
    """Ten are spelled out, the others counted."""
    shown = render(program, "text", *[alert() for _ in range(25)])

    assert 10 == shown.count("CPU usage")
    assert shown.endswith("and more: 25 are firing")


def test_resolved_ones_are_counted_beside_firing_ones(program: Path) -> None:
    """Grafana sends them again with every message; listed, they would read like firing ones."""
    shown = render(program, "text", alert(), alert(status="resolved"))

    assert 1 == shown.count("CPU usage")
    assert shown.endswith("1 resolved")
