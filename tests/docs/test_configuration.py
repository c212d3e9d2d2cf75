"""docs/configuration.md: every setting, with the names and defaults of the specification."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from types import ModuleType

import pytest

from proletto_otel.core.config import SETTINGS
from proletto_otel.core.setting import Setting

ROOT = Path(__file__).resolve().parents[2]

SPECIFIED = {
    "LOG_LEVEL": logging.INFO,
    "LOG_FORMAT": "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    "LOG_DIR": "logs",
    "FLASK_ENV": "development",
    "APP_NAME": "proletto",
    "SLACK_WEBHOOK_URL": "",
    "SLACK_BOT_TOKEN": "",
    "SLACK_CHANNEL_ID": "",
    "MONITOR_MAX_SAMPLES": 100,
    "MONITOR_SAMPLE_INTERVAL": 60,
    "MONITOR_REQUEST_LOGGING": True,
    "MONITOR_SYSTEM_METRICS": True,
    "MONITOR_SCHEDULED_CHECKS": True,
    "MONITOR_UNHEALTHY_THRESHOLD": 3,
    "MONITOR_HEALTH_CHECK_INTERVAL": 60,
}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "settings_table", ROOT / "tools/settings_table.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_current(tool: ModuleType) -> None:
    """The committed page and the types of the arguments are what the tool writes.

    If not: `python tools/settings_table.py`.
    """
    assert tool.types() == (ROOT / "proletto_otel/setup/settings.py").read_text(encoding="utf-8")
    assert tool.document() == (ROOT / "docs/configuration.md").read_text(encoding="utf-8")


def test_page_has_every_setting_once(tool: ModuleType) -> None:
    """Each setting has exactly one row, under a section."""
    page = tool.document()

    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [f"| `{row.name}` |" for row in SETTINGS] == [
        line[line.rindex("| `") :] for line in rows
    ]
    assert list(tool.SECTIONS) == [row.name for row in SETTINGS if row.name in tool.SECTIONS]


@pytest.mark.parametrize(("variable", "default"), SPECIFIED.items())
def test_specified_variable_keeps_name_and_default(variable: str, default: object) -> None:
    """Every variable of the specification keeps its name and default."""
    row = _row(variable)

    found = row.default.reveal() if row.is_secret else row.default
    assert default == found


def _row(variable: str) -> Setting:
    (row,) = [row for row in SETTINGS if variable in row.env]
    return row
