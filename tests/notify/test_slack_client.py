"""The Slack client against a server that speaks Slack's protocols."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from proletto_otel.core import config, internal_errors
from proletto_otel.notify.slack.client import SlackClient, SlackRefused
from tests.servers import free_port
from tests.slack_server import CHANNEL, TOKEN, SlackServer

BLOCKS = [{"type": "section", "text": {"type": "plain_text", "text": "hello"}}]
HOOK = "https://hooks.slack.com/services/T0/B0/" + "x" * 24


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    """A local Slack."""
    with SlackServer() as server:
        yield server
    internal_errors.forget_logged()


def client(**settings: Any) -> SlackClient | None:
    """The client of these settings."""
    return SlackClient.of(config.load(settings, {}, {})[0])


def by_webhook(url: str) -> SlackClient:
    """A client for a webhook anywhere."""
    made = client(slack_webhook_url=url, slack_allow_insecure=True)
    assert made is not None
    return made


def by_bot(slack: SlackServer, token: str = TOKEN, channel: str = CHANNEL) -> SlackClient:
    """A client for the bot API."""
    made = client(
        slack_bot_token=token,
        slack_channel_id=channel,
        slack_api_url=slack.api_url,
        slack_allow_insecure=True,
    )
    assert made is not None
    return made


def test_webhook(slack: SlackServer) -> None:
    """A webhook gets text and blocks."""
    by_webhook(slack.webhook_url).post("hello", BLOCKS)

    (message,) = slack.messages
    assert ("hello", BLOCKS) == (message.body["text"], message.body["blocks"])


def test_bot(slack: SlackServer) -> None:
    """A bot token posts to the channel."""
    by_bot(slack).post("hello", BLOCKS)

    (message,) = slack.messages
    assert ("hello", CHANNEL) == (message.body["text"], message.body["channel"])


def test_bot_goes_first(slack: SlackServer) -> None:
    """With both credentials and a channel the bot posts."""
    made = client(
        slack_webhook_url=slack.webhook_url,
        slack_bot_token=TOKEN,
        slack_channel_id=CHANNEL,
        slack_api_url=slack.api_url,
        slack_allow_insecure=True,
    )
    assert made is not None
    made("hello", BLOCKS)

    assert ["/api/chat.postMessage"] == [m.path for m in slack.messages]


def test_bot_without_channel_leaves_it_to_the_webhook(slack: SlackServer) -> None:
    """A token alone cannot post; with a webhook beside it nothing is missing."""
    made = client(
        slack_webhook_url=slack.webhook_url, slack_bot_token=TOKEN, slack_allow_insecure=True,
        slack_api_url=slack.api_url,
    )  # fmt: skip
    assert made is not None
    made.post("hello", BLOCKS)

    assert ["/services/T0/B0/" + "x" * 24] == [message.path for message in slack.messages]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "https:///x", "garbage"])
def test_permission_for_any_host_is_none_for_any_text(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`PROLETTO_SLACK_ALLOW_INSECURE`: what is no URL of a host is said at the start."""
    internal_errors.forget_logged()

    assert client(slack_webhook_url=url, slack_allow_insecure=True) is None
    assert "SLACK_WEBHOOK_URL='***': expected a URL" in caplog.text


@pytest.mark.parametrize("kind", ["webhook", "bot"])
def test_asked_to_wait(slack: SlackServer, kind: str) -> None:
    """429 tells how long to wait."""
    made = by_bot(slack) if kind == "bot" else by_webhook(slack.webhook_url)
    slack.answer(429, {"Retry-After": "30"}, body='{"ok": false, "error": "ratelimited"}')

    with pytest.raises(SlackRefused) as caught:
        made.post("hello", BLOCKS)
    assert 30.0 == caught.value.retry_after
    assert not caught.value.permanent


@pytest.mark.parametrize("status", [500, 503])
def test_slack_is_ill(slack: SlackServer, status: int) -> None:
    """A server error may pass."""
    slack.answer(status)

    with pytest.raises(SlackRefused) as caught:
        by_webhook(slack.webhook_url).post("hello", BLOCKS)
    assert not caught.value.permanent


def test_wrong_credentials(slack: SlackServer) -> None:
    """A refused token or channel is not tried again."""
    for made in (by_bot(slack, token="xoxb-wrong"), by_bot(slack, channel="C0NONE")):
        with pytest.raises(SlackRefused, match=r"invalid_auth|channel_not_found") as caught:
            made.post("hello", BLOCKS)
        assert caught.value.permanent


@pytest.mark.parametrize("kind", ["webhook", "bot"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_neither_followed_nor_delivered(
    slack: SlackServer, kind: str, status: int
) -> None:
    """Where it leads gets no token, and its 200 would be of a page, not of the message."""
    made = by_bot(slack) if kind == "bot" else by_webhook(slack.webhook_url)
    slack.answer(status, {"Location": "/elsewhere"})

    with pytest.raises(SlackRefused, match=f"Slack answered {status}") as caught:
        made.post("hello", BLOCKS)
    assert not caught.value.permanent
    assert [status] == [request.status for request in slack.requests]
    made.post("hello again", BLOCKS)
    assert ["hello again"] == [message.body["text"] for message in slack.messages]


def test_nobody_answers() -> None:
    """A refused connection names neither URL nor secret."""
    url = f"http://127.0.0.1:{free_port()}/services/T0/B0/hidden-part"

    with pytest.raises(SlackRefused) as caught:
        by_webhook(url).post("hello", BLOCKS)
    assert not caught.value.permanent
    assert "hidden-part" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/T/B/x",
        "https://evil.example.com/services/T/B/x",
        "https://hooks.slack.com.evil.example.com/services/T/B/x",
        "https://hooks.slack.com@evil.example.com/services/T/B/x",
        "https://hooks.slack.com:8443/services/T/B/x",
        "https://169.254.169.254/latest",
        "ftp://hooks.slack.com/x",
        "https://[::1/x",
        "garbage",
    ],
)
def test_foreign_urls_switch_slack_off(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A webhook that is not https on Slack's host is refused with a warning that hides it."""
    internal_errors.forget_logged()

    assert client(slack_webhook_url=url) is None
    assert "SLACK_WEBHOOK_URL='***'" in caplog.text
    assert url not in caplog.text


def test_slacks_own_hosts_are_taken() -> None:
    """The usual settings work without permission."""
    assert client(slack_webhook_url=HOOK) is not None
    assert client(slack_bot_token=TOKEN, slack_channel_id=CHANNEL) is not None
    assert client() is None


def test_missing_library_is_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configured Slack without slack-sdk: the line says what to install, and nothing raises."""
    internal_errors.forget_logged()
    monkeypatch.setitem(sys.modules, "slack_sdk", None)

    assert client(slack_webhook_url=HOOK) is None
    assert client(slack_webhook_url=HOOK) is None
    (line,) = caplog.messages
    assert "pip install 'proletto_otel[slack]'" in line
    assert client() is None


def test_bot_without_channel(caplog: pytest.LogCaptureFixture) -> None:
    """A token alone cannot post; the warning names what is missing."""
    internal_errors.forget_logged()

    assert client(slack_bot_token=TOKEN) is None
    assert "SLACK_CHANNEL_ID" in caplog.text


def test_secrets_are_not_shown(slack: SlackServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither repr nor slack_sdk's debug lines show URL or token."""
    caplog.set_level(logging.DEBUG)
    clients = (by_webhook(slack.webhook_url), by_bot(slack))
    for made in clients:
        made.post("hello", BLOCKS)

    shown = repr(clients) + caplog.text
    assert TOKEN not in shown
    assert slack.webhook_url not in shown
