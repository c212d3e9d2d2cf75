"""Alerts by email: every notification to all receivers in one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.notify.email.text import subject, text
from proletto_otel.notify.notification import Notification

if TYPE_CHECKING:
    from proletto_otel.notify.channels import Needs

SendMail = Callable[[str, str, tuple[str, ...]], None]
"""Sends an email: subject, text, receivers. It raises what `notify.channel.Channel.send` raises."""


class EmailChannel:
    """Sends every notification."""

    name = "email"

    def __init__(self, send: SendMail, receivers: tuple[str, ...]) -> None:
        self._send = send
        self._receivers = receivers

    @classmethod
    def of(cls, needs: Needs) -> EmailChannel | None:
        """The channel of these settings: by SMTP, or the way that a test handed in."""
        config = needs.config
        if needs.email is not None:
            return cls(needs.email, config.alert_email_to)
        if not config.smtp_host:
            return None
        if not config.alert_email_to:
            log_rate_limited(
                "alerts.email", "SMTP_HOST is set, but ALERT_EMAIL_TO is not: no alert emails"
            )
            return None
        # smtplib and email take 10 ms to import, so this waits until email is configured
        from proletto_otel.notify.email.smtp import Mail, Smtp

        return cls(Smtp(Mail.of(config)).send, config.alert_email_to)

    def wants(self, notification: Notification) -> bool:
        """Every notification."""
        return True

    def send(self, notification: Notification) -> None:
        """Hand one message to the mail server."""
        self._send(subject(notification), text(notification), self._receivers)
