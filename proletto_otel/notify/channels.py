"""Which channels speak, as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proletto_otel.core.config import Config
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import log_rate_limited as say
from proletto_otel.notify.log.channel import Log, LogChannel
from proletto_otel.notify.notifier import Channel
from proletto_otel.notify.slack.channel import Post, SlackChannel
from proletto_otel.notify.webhook.channel import WebhookChannel

if TYPE_CHECKING:
    from proletto_otel.notify.email.channel import SendMail


def build(
    config: Config, log: Log | None, slack: Post | None, email: SendMail | None = None
) -> list[Channel]:
    """The channels of this process: the log always, people only if Grafana does not tell them."""
    channels: list[Channel] = [LogChannel(log)] if log is not None else []
    if config.alerts == "grafana":
        return channels
    if slack is not None and config.alert_slack_severity != "none":
        channels.append(SlackChannel(slack, config.alert_slack_severity))
    return channels + _email(config, email) + _webhook(config)


def _email(config: Config, other_way: SendMail | None) -> list[Channel]:
    if not config.smtp_host and other_way is None:
        return []
    if not config.alert_email_to and other_way is None:
        say("alerts.email", "SMTP_HOST is set, but ALERT_EMAIL_TO is not: no alert emails")
        return []
    # smtplib and email take 10 ms, which only those who are mailed pay
    from proletto_otel.notify.email.channel import EmailChannel, Mail

    mail = Mail(
        host=config.smtp_host,
        port=config.smtp_port,
        user=config.smtp_user,
        password=config.smtp_password,
        starttls=config.smtp_starttls,
        sender=config.alert_email_from or next(iter(config.alert_email_to), ""),
        receivers=config.alert_email_to,
    )
    return [EmailChannel(mail, other_way)]


def _webhook(config: Config) -> list[Channel]:
    if not config.alert_webhook_url:
        return []
    try:
        return [WebhookChannel(config.alert_webhook_url)]
    except ConfigError as error:
        say("alerts.webhook", "%s; no alerts are sent there", error)
        return []
