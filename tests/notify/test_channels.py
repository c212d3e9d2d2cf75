"""The table of channels: each is switched on by its settings, and the page says by which."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core.config import SETTINGS, load
from proletto_otel.notify.channels import CHANNELS, ChannelRow, Needs, build
from proletto_otel.notify.notification import Notification

PAGE = Path(__file__).resolve().parents[2] / "docs" / "monitoring.md"
ENVIRONMENT = {s.name: s.env[0] for s in SETTINGS}


@pytest.mark.parametrize("row", [row for row in CHANNELS if row.settings], ids=lambda r: r.name)
def test_page_names_the_settings(row: ChannelRow) -> None:
    """The docs say for each channel what switches it on."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition("## Who is told, and how")[2].partition("\n## ")[0]

    assert [] == [n for n in row.settings if f"`{ENVIRONMENT[n]}`" not in section]


def test_channel_is_named_as_its_row() -> None:
    """The row, the sink in the ledger and the entries in the outbox have one name."""
    names = [name for row in CHANNELS for name in row.settings]
    fits = {n: "https://hooks.example.org/x" if n.endswith("_url") else "example" for n in names}
    config, _ = load(fits, {}, {})
    made = build(Needs(config=config, log=lambda *_: None, slack=lambda *_: None))

    assert [row.name for row in CHANNELS] == [channel.name for channel in made]


def test_without_settings_only_the_log_speaks() -> None:
    """Nothing is sent anywhere unless it was asked for."""
    made = build(Needs(config=load({}, {}, {})[0], log=lambda *_: None))

    assert ["alert_log"] == [channel.name for channel in made]


@pytest.mark.parametrize(
    ("severity", "event", "level"),
    [
        ("critical", "firing", logging.ERROR),
        ("warning", "firing", logging.WARNING),
        ("critical", "resolved", logging.INFO),
        ("warning", "resolved", logging.INFO),
    ],
)
def test_level_of_a_log_entry_is_that_of_the_alert(severity: str, event: str, level: int) -> None:
    """ERROR at most, so that it is not sent to Slack twice; the end of an alert is no problem."""
    written: list[tuple[int, str, Mapping[str, Any]]] = []
    (channel,) = build(Needs(config=load({}, {}, {})[0], log=lambda *entry: written.append(entry)))
    channel.send(
        Notification(
            kind="alert", event=event, severity=severity, title="Disk", summary="Disk is full",
            rows=[], since=1.8e9, at=1.8e9, data={"alert": "DiskAlmostFull"},
        )
    )  # fmt: skip

    ((logged, text, facts),) = written
    assert (level, event) == (logged, facts["alert_event"])
    assert "DiskAlmostFull: Disk is full" == text
