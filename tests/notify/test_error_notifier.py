"""Slack hears of each error once: first message, summary with the exact count, its end."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proletto_otel.core import config
from proletto_otel.core.context import RequestContext, enter, leave
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.api.loggers import get_logger
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.notify import error_claims
from proletto_otel.notify.error_notifier import ErrorNotifier
from proletto_otel.notify.notification import Notification
from proletto_otel.notify.slack.client import SlackClient
from proletto_otel.state.store import Store
from tests.corpus import secrets
from tests.logs.conftest import Room, balance
from tests.slack_server import SlackServer
from tests.waiting import PATIENCE_S, until

log = get_logger("shop")


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    """A local Slack."""
    with SlackServer() as server:
        yield server


Begin = Callable[..., ErrorNotifier]


@pytest.fixture
def begin(
    room: Callable[..., Room], slack: SlackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Begin]:
    """Add a Slack sink to the pipeline and start it; Slack's pace is not waited for."""
    room(log_console=False, environment="production")
    monkeypatch.setattr(error_claims, "PACE_S", 0.0)
    started: list[ErrorNotifier] = []

    def add(render: Any = None, **chosen: Any) -> ErrorNotifier:
        chosen = {
            "slack_webhook_url": slack.webhook_url,
            "slack_allow_insecure": True,
            "service_name": "shop",
            "environment": "production",
            "slack_window_s": 300.0,
        } | chosen
        settings = config.load(chosen, {}, {})[0]
        client = SlackClient.of(settings)
        assert client is not None
        sink = ErrorNotifier(client.post, Store(tmp_path / "state"), settings, render)
        pipeline.add(sink)
        sink.start()
        started.append(sink)
        return sink

    yield add
    for sink in started:
        sink.stop(time.monotonic() + 5)


def flushed(sink: ErrorNotifier, seconds: float = PATIENCE_S) -> bool:
    """Whether everything was sent or counted in time."""
    return sink.flush(time.monotonic() + seconds)


def fail(message: str = "card refused", **facts: Any) -> None:
    """Log a critical error with an exception."""
    try:
        raise ValueError(message)
    except ValueError:
        log.critical("payment failed", exc_info=True, **facts)


def test_first_message(begin: Begin, slack: SlackServer) -> None:
    """It tells level, service, environment, host, error, where, request ID and links."""
    sink = begin(
        trace_url="https://grafana.example.com/trace/{trace_id}",
        dashboard_url="https://shop.example.com/admin/monitoring",
    )
    token = enter(RequestContext("req-1", "a" * 32, "b" * 16))
    fail(component="pay")
    leave(token)

    assert flushed(sink)
    (message,) = slack.messages
    assert "CRITICAL · shop: ValueError" in message.title
    for part in (
        "payment failed", "ValueError: card refused", "environment: production", "host: ",
        "test_error_notifier.py:fail", "request ID: req-1", "component: pay",
        f"<https://grafana.example.com/trace/{'a' * 32}|trace>",
        "<https://shop.example.com/admin/monitoring|dashboard>",
    ):  # fmt: skip
        assert part in message.raw


def test_only_critical(begin: Begin, slack: SlackServer) -> None:
    """Lower levels are not sent unless the level is set."""
    sink = begin()
    log.error("error")
    log.critical("critical")

    assert flushed(sink)
    assert 1 == len(slack.messages)


def test_level_can_be_set(begin: Begin, slack: SlackServer) -> None:
    """`PROLETTO_SLACK_LEVEL` lowers what is sent."""
    sink = begin(slack_level="ERROR")
    log.error("error")

    assert flushed(sink)
    assert 1 == len(slack.messages)


def test_repetitions_are_summed_up(begin: Begin, slack: SlackServer) -> None:
    """A repeated error is sent at once, then once per window with the exact number, then over."""
    sink = begin(slack_window_s=1.0)
    for _ in range(500):
        fail()
    assert flushed(sink)
    until(lambda: "RESOLVED" in slack.messages[-1].title, what="first, summaries, resolved")

    assert "🔴 CRITICAL · shop: ValueError" == slack.messages[0].title
    # One summary, or more where the machine takes over a window for the 500; where it stands
    # still for one or two, the errors are over and begin again.
    everything, since_first = 0, 0
    for message in slack.messages:
        told = re.fullmatch("🔴 CRITICAL(?: ×([0-9]+))? · shop: ValueError", message.title)
        if told is None:
            assert "✅ RESOLVED · shop: ValueError" == message.title
            assert f"{since_first} in all" in message.raw
        else:
            since_first = since_first + int(told[1]) if told[1] else 1
            everything += int(told[1] or 1)
    assert 500 == everything
    assert (500, 500) == balance("slack")


def test_it_comes_back(begin: Begin, slack: SlackServer) -> None:
    """After its end the same error is a first one again."""
    begin(slack_window_s=0.5)
    fail()
    until(lambda: len(slack.messages) == 2, what="first and resolved")
    fail()
    until(lambda: len(slack.messages) == 3, what="first again")

    assert "CRITICAL" in slack.messages[2].title


def test_different_errors_are_told_apart(begin: Begin, slack: SlackServer) -> None:
    """Each fingerprint has its own message."""
    sink = begin()
    fail()
    fail("another text, same error")
    log.critical("something else")

    assert flushed(sink)
    assert 2 == len(slack.messages)


def test_nothing_can_be_injected(begin: Begin, slack: SlackServer) -> None:
    """Mentions and links in any text stay text; a megabyte is cut."""
    sink = begin()
    evil = "<!channel> <@U1> <https://evil.example.com|ok> & @here " + "x y " * 250_000
    log.critical(evil, component=evil, user_id=evil)
    fail(evil, component="<!here>")

    assert flushed(sink)
    assert 2 == len(slack.messages), "the local Slack refuses texts that are too long"
    for message in slack.messages:
        assert "<!" not in message.raw
        assert "<@" not in message.raw
        assert "<https://evil" not in message.raw
        assert "@here" not in message.body["text"]


def test_no_canary_in_any_message(begin: Begin, slack: SlackServer) -> None:
    """Secrets are redacted before they reach Slack or the store."""
    sink = begin(slack_window_s=300.0)
    canaries = secrets.canaries()[::6]
    for number, canary in enumerate(canaries):
        scope: dict[str, Any] = {"text": canary.text}
        exec(
            compile("def f():\n    raise ValueError(text)", f"/srv/shop/m{number}.py", "exec"),
            scope,
        )
        try:
            scope["f"]()
        except ValueError:
            log.critical(canary.text, exc_info=True, component=canary.text)

    assert flushed(sink)
    text = "".join(m.raw for m in slack.requests)
    assert len(canaries) == len(slack.messages)
    assert [] == [c for c in canaries if json.dumps(c.secret)[1:-1] in text]


def test_asked_to_wait(begin: Begin, slack: SlackServer) -> None:
    """429 with Retry-After is honoured; the message follows, callers do not wait."""
    slack.answer(429, {"Retry-After": "1"})
    sink = begin()
    fail()

    assert flushed(sink)
    first, second = slack.requests
    assert (429, 200) == (first.status, second.status)
    assert second.at - first.at >= 1.0
    assert (1, 1) == balance("slack")


def test_slack_comes_back(begin: Begin, slack: SlackServer) -> None:
    """A message that met an error of Slack's is sent again."""
    slack.answer(500)
    sink = begin()
    fail()

    assert flushed(sink)
    assert 1 == len(slack.messages)
    assert "" == sink.status()["last_error"]


def test_locked_store_is_shown_and_waited_for(
    begin: Begin, slack: SlackServer, tmp_path: Path
) -> None:
    """While the host's store cannot be written nothing is lost, and health says why."""
    sink = begin()
    log.critical("stock is negative")
    assert flushed(sink)
    locked = sqlite3.connect(tmp_path / "state" / "store.sqlite", isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    try:
        fail()
        until(lambda: sink.status()["last_error"], what="the reason")
        assert sink.status()["last_error"].startswith("store: ")
        assert 1 == len(slack.messages)
    finally:
        locked.execute("ROLLBACK")
        locked.close()

    assert flushed(sink)
    assert 2 == len(slack.messages)
    assert (2, 2) == balance("slack")
    assert "" == sink.status()["last_error"]


def test_refused_message_is_counted(begin: Begin, slack: SlackServer) -> None:
    """A message that Slack will never take is given up, counted and shown."""
    slack.answer(403, body="action_prohibited")
    sink = begin()
    fail()

    assert flushed(sink)
    assert 1 == sink.status()["dropped"]["refused"]
    assert "action_prohibited" in sink.status()["last_error"]
    assert (1, 1) == balance("slack")


def test_shutdown_is_bounded_and_counted(begin: Begin, slack: SlackServer) -> None:
    """At the exit an unsent message is counted."""
    slack.answer(500, times=50)
    sink = begin()
    fail()
    until(lambda: slack.requests, what="the first try")
    sink.stop(time.monotonic() + 0.3)

    assert 1 == sink.status()["dropped"]["shutdown"]
    assert (1, 1) == balance("slack")


def test_claims_of_a_dead_worker(
    begin: Begin, slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a dead worker had claimed, another one tells."""
    monkeypatch.setattr(error_claims, "LEASE_S", 0.5)
    slack.answer(500, times=1)
    dead = begin()
    fail()
    until(lambda: slack.requests, what="the first try")
    dead.stop(time.monotonic())
    pipeline.remove(dead)
    begin()

    until(lambda: slack.messages, what="the other worker's message")
    assert "CRITICAL" in slack.messages[0].title


def test_ever_new_errors_take_no_memory(begin: Begin, slack: SlackServer) -> None:
    """Beyond a hundred different errors that wait, further ones are counted."""
    slack.answer(500, times=100)
    sink = begin()
    for i in range(300):
        log.critical("e" + "abcdefghij"[i % 10] + "klmnopqrst"[i // 10 % 10] + "uvw"[i // 100])

    assert 300 == ledger.totals()["slack"]["emitted"]
    assert 200 == ledger.totals()["slack"]["dropped"]["queue_full"]
    sink.stop(time.monotonic())
    assert (300, 300) == balance("slack")


def test_own_rendering(begin: Begin, slack: SlackServer) -> None:
    """The message's template can be replaced."""

    def render(notification: Notification) -> tuple[str, list[dict[str, Any]]]:
        return f"own: {notification.event} {notification.data['error']}", []

    sink = begin(render)
    fail()

    assert flushed(sink)
    assert ["own: first ValueError"] == [m.body["text"] for m in slack.messages]


def test_broken_rendering(begin: Begin, slack: SlackServer) -> None:
    """When one's own rendering raises, the usual message is sent."""

    def render(notification: Notification) -> tuple[str, list[dict[str, Any]]]:
        raise KeyError(notification.event)

    sink = begin(render)
    fail()

    assert flushed(sink)
    assert "ValueError" in slack.messages[0].title


def test_message_without_exception_is_said_once(begin: Begin, slack: SlackServer) -> None:
    """Title, text and preview do not repeat the same words."""
    sink = begin()
    log.critical("stock is negative")
    log.critical("x" * 200)
    assert flushed(sink)

    short, long = slack.messages
    assert ("🔴 CRITICAL · shop: stock is negative", 2) == (
        short.title, short.raw.count("stock is negative"),  # title and preview
    )  # fmt: skip
    assert "x" * 200 not in long.title
    assert 2 == long.raw.count("x" * 200)  # text and preview
