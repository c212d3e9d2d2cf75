"""Which channels there are: one row per channel, made as the settings say.

A new channel is a folder beside `slack/` with a class that fits `notify.channel.Channel`, a row
here, its settings in `core.config` and a row in `docs/monitoring.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proletto_otel.core.config import Config
from proletto_otel.notify.channel import Channel
from proletto_otel.notify.email.channel import EmailChannel
from proletto_otel.notify.log.channel import Log, LogChannel
from proletto_otel.notify.slack.channel import Post, SlackChannel
from proletto_otel.notify.webhook.channel import WebhookChannel

if TYPE_CHECKING:
    from proletto_otel.notify.email.channel import SendMail


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Settings and connections from which channels are built."""

    config: Config
    log: Log | None = None
    """Writes a log record; None: there is no log."""
    slack: Post | None = None
    """Posts to Slack; None: Slack is not configured."""
    email: SendMail | None = None
    """Sends an email another way than by SMTP (tests)."""


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One row of the table: a channel, its settings, and how it is built."""

    name: str
    settings: tuple[str, ...]
    """Fields of `Config` that switch it on; none: it is always on."""
    make: Callable[[Needs], Channel | None]
    """Makes it; None when the settings do not ask for it."""


CHANNELS = (
    ChannelRow("alert_log", (), LogChannel.of),
    ChannelRow("slack", ("slack_webhook_url", "slack_bot_token"), SlackChannel.of),
    ChannelRow("email", ("smtp_host", "alert_email_to"), EmailChannel.of),
    ChannelRow("webhook", ("alert_webhook_url",), WebhookChannel.of),
)
"""In the order in which they get a notification."""


def build(needs: Needs) -> list[Channel]:
    """The channels of this process: the log always, the others unless Grafana notifies people."""
    grafana_notifies = needs.config.alerts == "grafana"
    # With Grafana as the only one to notify, the log alone still says what happened.
    rows = [row for row in CHANNELS if not (row.settings and grafana_notifies)]
    made = [row.make(needs) for row in rows]
    return [channel for channel in made if channel is not None]
