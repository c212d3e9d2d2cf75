"""Which channels there are: one row per channel, made as the settings say.

A new channel is a folder beside `slack/` with a class that fits `notify.channel.Channel`, a row
here, its settings in `core.config` and a row in `docs/monitoring.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proletto_otel.core.config import Config
from proletto_otel.core.record import record
from proletto_otel.notify.channel import Channel
from proletto_otel.notify.log.channel import Log, LogChannel

if TYPE_CHECKING:
    from proletto_otel.notify.email.channel import SendMail
    from proletto_otel.notify.slack.channel import Post


@record(frozen=True, slots=True, kw_only=True)
class Needs:
    """Settings and connections from which channels are built."""

    config: Config
    log: Log | None = None
    """Writes a log record; None: there is no log."""
    slack: Post | None = None
    """Posts to Slack; None: Slack is not configured."""
    email: SendMail | None = None
    """Sends an email another way than by SMTP (tests)."""


@record(frozen=True, slots=True)
class ChannelRow:
    """One row of the table: a channel, its settings, and how it is built."""

    name: str
    settings: tuple[str, ...]
    """Fields of `Config` that switch it on; none: it is always on."""
    make: Callable[[Needs], Channel | None]
    """Makes it; None when the settings do not ask for it."""


# What is not configured is not imported.
def _slack(needs: Needs) -> Channel | None:
    if needs.slack is None:
        return None
    from proletto_otel.notify.slack.channel import SlackChannel

    return SlackChannel.of(needs)


def _email(needs: Needs) -> Channel | None:
    if needs.email is None and not needs.config.smtp_host:
        return None
    from proletto_otel.notify.email.channel import EmailChannel

    return EmailChannel.of(needs)


def _webhook(needs: Needs) -> Channel | None:
    if not needs.config.alert_webhook_url:
        return None
    from proletto_otel.notify.webhook.channel import WebhookChannel

    return WebhookChannel.of(needs)


CHANNELS = (
    ChannelRow("alert_log", (), LogChannel.of),
    ChannelRow("slack", ("slack_webhook_url", "slack_bot_token"), _slack),
    ChannelRow("email", ("smtp_host", "alert_email_to"), _email),
    ChannelRow("webhook", ("alert_webhook_url",), _webhook),
)
"""In the order in which they get a notification."""


def build(needs: Needs) -> list[Channel]:
    """The channels of this process: the log always, the others unless Grafana notifies people."""
    grafana_notifies = needs.config.alerts == "grafana"
    # With Grafana as the only one to notify, the log alone still says what happened.
    rows = [row for row in CHANNELS if not (row.settings and grafana_notifies)]
    made = [row.make(needs) for row in rows]
    return [channel for channel in made if channel is not None]
