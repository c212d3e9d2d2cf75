"""Alerts in Slack, through the client that also carries errors (`notify.slack.client`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proletto_otel.core.severity import RANK
from proletto_otel.notify.channel import Rejected
from proletto_otel.notify.notification import Notification
from proletto_otel.notify.slack.client import SlackRefused
from proletto_otel.notify.slack.message import message

if TYPE_CHECKING:
    from proletto_otel.notify.channels import Needs

Post = Callable[[str, list[dict[str, Any]]], None]
"""Sends text and blocks; raises `SlackRefused` with `retry_after` when Slack asks to wait."""


class SlackChannel:
    """Sends notifications of *severity* and above; the end of an alert follows its beginning."""

    name = "slack"

    def __init__(self, post: Post, severity: str) -> None:
        self._post = post
        self._least = RANK[severity]

    @classmethod
    def of(cls, needs: Needs) -> SlackChannel | None:
        """The channel of these settings, if Slack is configured and is to hear of alerts."""
        severity = needs.config.alert_slack_severity
        if needs.slack is None or severity == "none":
            return None
        return cls(needs.slack, severity)

    def wants(self, notification: Notification) -> bool:
        """Whether the notification is severe enough."""
        return RANK[notification.severity] >= self._least

    def send(self, notification: Notification) -> None:
        """Post one message.

        Raises:
            Rejected: when Slack will never take it (a revoked token, an archived channel).
        """
        try:
            self._post(*message(notification))
        except SlackRefused as error:
            if error.permanent:
                raise Rejected(str(error)) from error
            raise
