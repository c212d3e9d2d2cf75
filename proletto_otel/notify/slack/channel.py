"""Alerts in Slack, through the client that also carries log records (`notify.slack.client`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proletto_otel.core.severity import RANK
from proletto_otel.notify.notification import Notice, slack_blocks, slack_text
from proletto_otel.notify.notifier import Rejected
from proletto_otel.notify.slack.client import SlackRefused

Post = Callable[[str, list[dict[str, Any]]], None]
"""Sends text and blocks; raises with `retry_after` seconds when Slack asks to wait."""


class SlackChannel:
    """Sends notices of *severity* and above; the end of an alert follows its beginning."""

    name = "slack"

    def __init__(self, post: Post, severity: str) -> None:
        self._post = post
        self._least = RANK[severity]

    def wants(self, notice: Notice) -> bool:
        """Whether the notice is severe enough."""
        return RANK[notice.severity] >= self._least

    def send(self, notice: Notice) -> None:
        """Post one message.

        Raises:
            Rejected: when Slack will never take it (a revoked token, an archived channel).
        """
        try:
            self._post(slack_text(notice), slack_blocks(notice))
        except SlackRefused as error:
            if error.permanent:
                raise Rejected(str(error)) from error
            raise
