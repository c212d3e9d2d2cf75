"""Telemetry's settings: where each value came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from proletto_otel import setup_telemetry
from proletto_otel.web.pages import settings
from tests.web.dashboard import ADMIN, HOSTILE


def test_the_real_origin_of_each_setting_is_shown(
    telemetry_capture: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argument, `app.config`, environment, a file of `flask`, default; the strongest one."""
    from flask import Flask

    monkeypatch.chdir(tmp_path)
    settings._files.cache_clear()
    Path(".env").write_text(f'# local\nexport PROLETTO_RUNBOOK_URL="http://r/"\nX={HOSTILE}\n')
    monkeypatch.setenv("PROLETTO_RUNBOOK_URL", "http://r/")  # as `flask` does it
    monkeypatch.setenv("PROLETTO_ALERT_INTERVAL", "7")
    monkeypatch.setenv("PROLETTO_TRACE_URL", "http://t/")
    monkeypatch.setenv("MONITOR_MAX_SAMPLES", "many")
    monkeypatch.setenv("APP_NAME", "of-the-environment")
    app = Flask("shop")
    app.config["PROLETTO_TRACE_URL"] = "http://theirs/"
    app.config["APP_NAME"] = "of-app-config"
    setup_telemetry(app, log_console=False, environment="development", app_name="shop")
    client = app.test_client()
    found = client.get(f"{ADMIN}/api/pages/telemetry").get_json()["settings"]
    settings._files.cache_clear()
    origins = {row["name"]: (row["origin"], row["value"]) for row in found}

    assert ("argument app_name", "shop") == origins["app_name"]
    assert ("app.config PROLETTO_TRACE_URL", "http://theirs/") == origins["trace_url"]
    assert ("environment PROLETTO_ALERT_INTERVAL", "7.0") == origins["alert_interval_s"]
    assert (".env PROLETTO_RUNBOOK_URL", "http://r/") == origins["runbook_url"]
    assert "default" == origins["monitor_max_samples"][0]  # what was said does not fit
    assert ("default", "not set") == origins["viewer_token"]
    assert ".env PROLETTO_RUNBOOK_URL" in client.get(f"{ADMIN}/telemetry").text
