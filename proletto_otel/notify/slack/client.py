"""The Slack client: one message by webhook or bot token, errors classified, secrets protected.

Used by the log sink and by the alerts, each on a thread of its own. slack_sdk is imported with the
first message.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from proletto_otel.core.config import Config
from proletto_otel.core.installed import is_installed
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.parsing import Secret

TIMEOUT_S = 3
WEBHOOK_HOSTS = frozenset(("hooks.slack.com", "hooks.slack-gov.com"))
API_HOSTS = frozenset(("slack.com", "www.slack.com", "slack-gov.com"))
LONGEST_RETRY_AFTER_S = 900.0
PERMANENT = frozenset((400, 401, 403, 404, 410))
"""Statuses that another try will not change."""
BUSY = frozenset(("ratelimited", "rate_limited", "internal_error", "service_unavailable",
                  "fatal_error", "request_timeout"))  # fmt: skip

Blocks = Sequence[Mapping[str, Any]]

# slack_sdk logs URL and token at DEBUG whatever the level of the logger it is not given
_mute = logging.Logger("proletto_otel.slack", logging.CRITICAL + 1)


class SlackRefused(Exception):
    """Slack did not take the message; the text holds no secret.

    Args:
        why: For people.
        retry_after: Seconds that Slack asked to wait, or None.
        permanent: Whether trying again is pointless.
    """

    def __init__(
        self, why: str, retry_after: float | None = None, *, permanent: bool = False
    ) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.permanent = permanent


class SlackClient:
    """Posts messages. Calling the client is `post`.

    Args:
        webhook: Incoming webhook URL; used when token or channel is missing.
        token: Bot token.
        channel: Where the bot posts.
        api_url: Base of the bot API.
    """

    def __init__(
        self,
        *,
        webhook: Secret,
        token: Secret,
        channel: str,
        api_url: str,
        timeout_s: int = TIMEOUT_S,
    ) -> None:
        self._webhook, self._token, self._channel = webhook, token, channel
        self._api_url = api_url if api_url.endswith("/") else f"{api_url}/"
        self._timeout_s = timeout_s
        self._client: Any = None

    @classmethod
    def of(cls, config: Config) -> SlackClient | None:
        """The client that the settings describe; None, with a warning, when they cannot work."""
        problem = _problem(config)
        if problem:
            log_rate_limited("slack.settings", "%s; Slack is off", problem)
        if problem or not (config.slack_webhook_url or config.slack_bot_token):
            return None
        if not is_installed("slack_sdk"):
            log_rate_limited(
                "slack.missing", "Slack needs `pip install 'proletto_otel[slack]'`; Slack is off"
            )
            return None
        return cls(
            webhook=config.slack_webhook_url,
            token=config.slack_bot_token,
            channel=config.slack_channel_id,
            api_url=config.slack_api_url,
        )

    def __repr__(self) -> str:
        return f"SlackClient({'bot' if self._by_bot else 'webhook'})"

    @property
    def _by_bot(self) -> bool:
        return bool(self._token and self._channel)

    def __call__(self, text: str, blocks: Blocks = ()) -> None:
        """As `post`."""
        self.post(text, blocks)

    def post(self, text: str, blocks: Blocks = ()) -> None:
        """Send one message; waits up to three seconds for Slack.

        Args:
            text: What notifications show; already escaped.
            blocks: Block Kit blocks.

        Raises:
            SlackRefused: it was not taken.
        """
        try:
            self._post_by_bot(text, blocks) if self._by_bot else self._post_by_webhook(text, blocks)
        except SlackRefused:
            raise
        except Exception as error:  # refused, timed out, no such host
            # `from None`, and only the type: the text may hold the URL, which is the secret
            raise SlackRefused(f"no answer ({type(error).__name__})") from None

    def _post_by_webhook(self, text: str, blocks: Blocks) -> None:
        if self._client is None:
            from proletto_otel.notify.slack.connections import Webhook

            self._client = Webhook(
                self._webhook.reveal(), timeout=self._timeout_s, logger=_mute, retry_handlers=[]
            )
        answer = self._client.send(
            text=text, blocks=list(blocks), unfurl_links=False, unfurl_media=False
        )
        if answer.status_code != 200:
            raise _refused(answer.status_code, str(answer.body), answer.headers)

    def _post_by_bot(self, text: str, blocks: Blocks) -> None:
        from slack_sdk.errors import SlackApiError

        if self._client is None:
            from proletto_otel.notify.slack.connections import Bot

            self._client = Bot(
                token=self._token.reveal(), base_url=self._api_url, timeout=self._timeout_s,
                logger=_mute, retry_handlers=[],
            )  # fmt: skip
        try:
            self._client.chat_postMessage(
                channel=self._channel, text=text, blocks=list(blocks),
                unfurl_links=False, unfurl_media=False,
            )  # fmt: skip
        except SlackApiError as error:
            answer = error.response
            # no mapping when Slack, or a proxy in between, answered with HTML
            word = answer.get("error") if hasattr(answer, "get") else None
            raise _refused(answer.status_code, str(word or ""), answer.headers) from None


def _refused(status: int, word: str, headers: Mapping[str, Any]) -> SlackRefused:
    # Harmless characters only: a proxy's answer may repeat the URL, which is the secret.
    shown = "".join(c for c in word[:60] if c.isalnum() or c in "_- ")
    why = f"Slack answered {status} {shown}".rstrip()
    wait = _retry_after(headers) if status in (429, 503) else None
    # 200 with an error word is how the bot API refuses
    permanent = status in PERMANENT or (status == 200 and word not in BUSY)
    return SlackRefused(why, wait, permanent=permanent)


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                seconds = float(value)
            except (TypeError, ValueError):
                return None
            # In this order NaN becomes 900: min() returns its first argument then.
            return max(0.0, min(LONGEST_RETRY_AFTER_S, seconds))
    return None


def _problem(config: Config) -> str:
    """The problem of the settings, without their values; empty when there is none."""
    if config.slack_webhook_url:
        found = _unfit(
            config.slack_webhook_url.reveal(), WEBHOOK_HOSTS, config.slack_allow_insecure
        )
        if found:
            return f"SLACK_WEBHOOK_URL='***': expected {found}"
    if config.slack_bot_token:
        found = _unfit(config.slack_api_url, API_HOSTS, config.slack_allow_insecure)
        if found:
            return f"SLACK_API_URL: expected {found}"
        if not config.slack_channel_id and not config.slack_webhook_url:
            return "SLACK_CHANNEL_ID is empty: expected the channel the bot posts to"
    return ""


def _unfit(url: str, hosts: frozenset[str], allow_insecure: bool) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "a URL"
    if allow_insecure:
        return "" if parts.scheme in ("http", "https") and host else "a URL"
    fits = parts.scheme == "https" and host in hosts and port in (None, 443) and not parts.username
    return "" if fits else f"an https URL on {' or '.join(sorted(hosts))}"
