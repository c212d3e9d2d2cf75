"""Channels deliver, wait, give up and count; nothing is lost without a number."""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from proletto_otel.alerts.indicators import INDICATORS
from proletto_otel.alerts.notices import Origin, notice
from proletto_otel.alerts.store import AlertStore
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.config import load
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.metrics.delivery import Ledger
from proletto_otel.core.metrics.registry import Registry
from proletto_otel.core.parsing import Secret
from proletto_otel.notify import channels
from proletto_otel.notify.channel import Refused, Rejected
from proletto_otel.notify.email import smtp
from proletto_otel.notify.email.channel import EmailChannel
from proletto_otel.notify.email.smtp import Mail, Smtp
from proletto_otel.notify.notification import Notification
from proletto_otel.notify.notifier import MAX_QUEUE, Notifier
from proletto_otel.notify.outbox import OutboxEntry
from proletto_otel.notify.slack.channel import SlackChannel
from proletto_otel.notify.slack.client import SlackClient, SlackRefused
from proletto_otel.notify.webhook.channel import WebhookChannel
from proletto_otel.runtime import circuit_breaker
from proletto_otel.state.store import Store
from tests.servers import free_port
from tests.slack_server import SlackServer
from tests.waiting import until

ORIGIN = Origin(service="shop", environment="production", host="web-1")


def made(severity: str = "critical", **changes: Any) -> Notification:
    """A notification about the CPU."""
    arguments: dict[str, Any] = {"value": 97.0, "since": time.time() - 300, "at": time.time()}
    return notice(
        Threshold(metric="cpu_percent", warning=80, critical=95), INDICATORS["cpu_percent"],
        ORIGIN, severity=severity, resolved=False, **{**arguments, **changes},
    ).as_notification()  # fmt: skip


class Fake:
    """A channel that does what the test says."""

    name = "slack"

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.sent: list[Notification] = []
        self.asked = False
        self.open = threading.Event()
        self.open.set()

    def wants(self, notification: Notification) -> bool:
        return True

    def send(self, notification: Notification) -> None:
        self.asked = True
        self.open.wait(10)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.sent.append(notification)


class Post:
    """One host's store and one notifier on it."""

    def __init__(self, directory: Path, channel: Any) -> None:
        self.ledger = Ledger(Registry())
        self.shared = AlertStore(Store(directory))
        self.notifier = Notifier(channel, self.shared.outbox, ledger=self.ledger)

    def entry(self, notification: Notification | None = None) -> OutboxEntry:
        """Write a entry as the evaluator does."""
        with self.shared.transaction() as connection:
            entry = self.shared.outbox.put(connection, self.notifier.name, notification or made())
        self.ledger.spooled(self.notifier.name, 1)
        self.ledger.emitted(self.notifier.name)
        return entry

    def send(self, number: int) -> None:
        """Hand a numbered message over that no outbox holds."""
        self.ledger.emitted(self.notifier.name)
        notification = made(value=float(number))
        self.notifier.put(OutboxEntry(None, self.notifier.name, time.time(), notification))

    def lawful(self) -> None:
        """emitted = delivered + spooled + dropped, once nothing waits in memory."""
        assert self.notifier.flush(time.monotonic() + 300)
        totals = self.ledger.totals()[self.notifier.name]
        lost = sum(totals["dropped"].values())
        assert totals["emitted"] == totals["delivered"] + totals["spooled"] + lost


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker, "FIRST_PAUSE_S", 0.02)


def test_delivered_entry_leaves_the_outbox(tmp_path: Path) -> None:
    """Sent once, counted once, gone."""
    post = Post(tmp_path, channel := Fake())
    post.notifier.put(post.entry())
    assert post.notifier.flush(time.monotonic() + 300)

    assert 1 == len(channel.sent)
    assert [] == post.shared.outbox.waiting()
    assert 1 == post.ledger.totals()["slack"]["delivered"]
    post.lawful()


def test_receiver_that_asks_to_wait_gets_it_later(tmp_path: Path) -> None:
    """429 with Retry-After, an error, a timeout: later, in order, none lost."""
    busy = Refused("429", retry_after=0.05)
    post = Post(tmp_path, channel := Fake(busy, OSError("reset"), TimeoutError()))
    first, second = made(), made("warning")
    for notification in (first, second):
        post.notifier.put(post.entry(notification))
    until(lambda: len(channel.sent) == 2)

    assert ["critical", "warning"] == [n.severity for n in channel.sent]
    until(lambda: post.shared.outbox.waiting() == [])
    post.lawful()


def test_message_that_is_refused_for_good_is_dropped_and_counted(tmp_path: Path) -> None:
    """The next one flows."""
    post = Post(tmp_path, channel := Fake(Rejected("410")))
    post.notifier.put(post.entry())
    post.notifier.put(post.entry())
    until(lambda: channel.sent)
    post.notifier.flush(time.monotonic() + 10)

    assert {"rejected": 1} == post.ledger.totals()["slack"]["dropped"]
    post.lawful()


def test_old_alert_is_not_told_any_more(tmp_path: Path) -> None:
    """After an hour it is history; counted."""
    post = Post(tmp_path, channel := Fake())
    entry = post.entry()
    post.notifier.put(OutboxEntry(entry.id, "slack", time.time() - 7200, entry.notification))
    post.notifier.flush(time.monotonic() + 10)

    assert [] == channel.sent
    assert {"expired": 1} == post.ledger.totals()["slack"]["dropped"]
    assert [] == post.shared.outbox.waiting()


def test_queue_is_bounded_and_drops_the_oldest(tmp_path: Path) -> None:
    """A receiver that hangs costs a bounded queue; each loss has a reason."""
    post = Post(tmp_path, channel := Fake())
    channel.open.clear()
    post.send(0)
    until(lambda: channel.asked)
    for number in range(1, MAX_QUEUE + 11):
        post.send(number)
    channel.open.set()
    assert post.notifier.flush(time.monotonic() + 300)

    assert [0, *range(11, MAX_QUEUE + 11)] == [n.data["value"] for n in channel.sent]
    assert {"queue_full": 10} == post.ledger.totals()["slack"]["dropped"]
    post.lawful()


def test_end_of_the_process_leaves_the_rest_to_the_outbox(tmp_path: Path) -> None:
    """Stopping is bounded; what the outbox holds is sent by another process, once."""
    down = [OSError("down")] * 1000
    post = Post(tmp_path, Fake(*down))
    post.notifier.put(post.entry())
    post.notifier.put(OutboxEntry(None, "slack", time.time(), made()))
    post.ledger.emitted("slack")
    until(lambda: post.notifier.status()["last_error"])
    post.notifier.stop(time.monotonic() + 1)

    assert {"shutdown": 1} == post.ledger.totals()["slack"]["dropped"]
    post.lawful()
    heir = Post(tmp_path, channel := Fake())
    for entry in heir.shared.outbox.waiting():
        heir.notifier.put(entry)
    assert heir.notifier.flush(time.monotonic() + 300)
    assert 1 == len(channel.sent)


def test_two_processes_do_not_send_the_same_entry(tmp_path: Path) -> None:
    """A entry is claimed before it is sent."""
    post, other = Post(tmp_path, Fake()), Post(tmp_path, rival := Fake())
    entry = post.entry()
    with post.shared.transaction() as db:
        db.execute(
            "UPDATE alert_outbox SET claimed_by = 1, claimed_at = ?", (time.time(),)
        )  # process 1 lives
    other.notifier.put(entry)
    assert other.notifier.flush(time.monotonic() + 300)

    assert [] == rival.sent
    assert 1 == len(post.shared.outbox.waiting())


def test_entry_of_a_dead_process_is_sent_by_the_next(tmp_path: Path) -> None:
    """No lease has to run out when its holder is gone."""
    post = Post(tmp_path, channel := Fake())
    entry = post.entry()
    with post.shared.transaction() as db:
        db.execute(
            "UPDATE alert_outbox SET claimed_by = ?, claimed_at = ?", (2**22 - 3, time.time())
        )
    post.notifier.put(entry)
    post.notifier.flush(time.monotonic() + 10)

    assert 1 == len(channel.sent)


def test_alert_written_after_one_that_another_process_sent_is_sent_itself(tmp_path: Path) -> None:
    """A process that still waits with the first one never takes the second for it."""
    post = Post(tmp_path, channel := Fake(*[OSError("down")] * 1000))
    other = Post(tmp_path, rival := Fake())
    entry = post.entry()
    post.notifier.put(entry)
    until(lambda: channel.asked)
    other.notifier.put(entry)
    assert other.notifier.flush(time.monotonic() + 300)
    later = post.entry(made("warning"))
    channel.answers.clear()
    post.notifier.put(later)
    assert post.notifier.flush(time.monotonic() + 300)

    assert ["critical"] == [notification.severity for notification in rival.sent]
    assert ["warning"] == [notification.severity for notification in channel.sent]
    assert [] == post.shared.outbox.waiting()


def test_putting_an_alert_never_waits(tmp_path: Path) -> None:
    """However long the receiver hangs, the evaluator goes on."""
    post = Post(tmp_path, channel := Fake())
    channel.open.clear()
    entries = [post.entry() for _ in range(3)]
    for entry in entries:
        post.notifier.put(entry)

    assert [] == channel.sent
    channel.open.set()
    assert post.notifier.flush(time.monotonic() + 300)


def test_fork_leaves_the_parents_entries_to_the_parent(tmp_path: Path) -> None:
    """A child begins with an empty queue and a lock that is free."""
    post = Post(tmp_path, channel := Fake())
    post.notifier._queue._queue.append(post.entry())
    post.notifier._queue.worker.lock.acquire()
    post.notifier.forked()
    post.notifier.put(OutboxEntry(None, "slack", time.time(), made("warning")))
    assert post.notifier.flush(time.monotonic() + 300)

    assert ["warning"] == [n.severity for n in channel.sent]


# --- email -------------------------------------------------------------------------------------
class Inbox:
    """A mail server's memory."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refuse = ""
        self.logins = 0

    async def handle_RCPT(  # noqa: N802  the library's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    """A real SMTP server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    handler = Inbox()
    server = Controller(handler, hostname="127.0.0.1", port=port)
    server.start()
    yield handler, port
    server.stop()


def _email(port: int, **changes: Any) -> EmailChannel:
    settings: dict[str, Any] = {
        "host": "127.0.0.1", "port": port, "starttls": False,
        "sender": "shop@example.org", **changes,
    }  # fmt: skip
    return EmailChannel(Smtp(Mail(**settings)).send, ("ada@example.org", "bob@example.org"))


def test_alert_arrives_by_email(inbox: tuple[Inbox, int]) -> None:
    """One message to all receivers, with value, limit and runbook."""
    handler, port = inbox
    _email(port).send(made())
    (mail,) = handler.mails
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)

    assert "ada@example.org, bob@example.org" == mail["To"]
    assert "CPU usage is 97 %, above 95 % for 5 min" in body.decode()
    assert "docs/runbook.md#highcpu" in body.decode()


def test_email_headers_cannot_be_forged(inbox: tuple[Inbox, int]) -> None:
    """A newline in a name does not begin a header."""
    handler, port = inbox
    origin = Origin(service="shop\r\nBcc: eve@example.org", environment="x\ny", host="h")
    notification = notice(
        Threshold(metric="cpu_percent", warning=80), INDICATORS["cpu_percent"], origin,
        severity="warning", resolved=False, value=90.0, since=0, at=time.time(),
    ).as_notification()  # fmt: skip
    _email(port).send(notification)

    assert None is handler.mails[0]["Bcc"]


def test_mail_server_without_encryption_is_refused_unless_told(inbox: tuple[Inbox, int]) -> None:
    """STARTTLS is on by default and never silently left out."""
    handler, port = inbox
    with pytest.raises(smtplib.SMTPNotSupportedError):
        _email(port, starttls=True).send(made())

    assert [] == handler.mails


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Certificate and key of a mail server on this machine."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key,
         "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def _trusting(certificate: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


def _logged_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = (b"shop", b"s3cret") == (data.login, data.password)
    if good:
        server.event_handler.logins += 1
    return AuthResult(success=good, handled=False)


@pytest.mark.parametrize("smtps", [False, True])
@pytest.mark.parametrize(("password", "arrives"), [("s3cret", True), ("wrong", False)])
def test_server_that_asks_for_a_login_gets_it_encrypted(
    certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch, smtps: bool, password: str,
    arrives: bool,
) -> None:  # fmt: skip
    """By STARTTLS, or from the first byte on port 465; a wrong password sends nothing."""
    handler = Inbox()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    port = free_port()
    tls: dict[str, Any] = (
        {"ssl_context": context} if smtps else {"tls_context": context, "require_starttls": True}
    )
    server = Controller(
        handler, hostname="localhost", port=port, authenticator=_logged_in,
        auth_require_tls=not smtps, **tls,
    )  # fmt: skip
    monkeypatch.setattr(smtp, "SMTPS_PORT", port if smtps else 465)
    mail = Mail(
        host="localhost", port=port, user="shop", password=Secret(password), sender="a@example.org"
    )
    server.start()
    try:
        channel = EmailChannel(Smtp(mail, _trusting(certificate[0])).send, ("ada@example.org",))
        with nullcontext() if arrives else pytest.raises(smtplib.SMTPAuthenticationError):
            channel.send(made())
    finally:
        server.stop()

    assert (int(arrives), int(arrives)) == (handler.logins, len(handler.mails))


def test_server_that_nobody_vouches_for_gets_nothing(
    certificate: tuple[str, str], inbox: tuple[Inbox, int]
) -> None:
    """An unknown certificate: neither password nor alert is sent."""
    handler = Inbox()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = Controller(handler, hostname="localhost", port=free_port(), tls_context=context)
    server.start()
    try:
        mail = Mail(host="localhost", port=server.port, sender="a@example.org")
        with pytest.raises(ssl.SSLCertVerificationError):
            EmailChannel(Smtp(mail).send, ("ada@example.org",)).send(made())
    finally:
        server.stop()

    assert [] == handler.mails


@pytest.mark.parametrize(("answer", "kind"), [("550 no such user", True), ("450 later", False)])
def test_receivers_refused_for_good_are_not_tried_again(
    inbox: tuple[Inbox, int], answer: str, kind: bool
) -> None:
    """5xx is the end, 4xx is later."""
    handler, port = inbox
    handler.refuse = answer
    with pytest.raises(Exception, match=r".") as caught:
        _email(port).send(made())

    assert kind == isinstance(caught.value, Rejected)


# --- webhook -----------------------------------------------------------------------------------
class Receiver:
    """A local HTTP server that stores what it is sent."""

    def __init__(self) -> None:
        outer = self
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.headers: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                outer.bodies.append(json.loads(self.rfile.read(length)))
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = Secret(f"http://127.0.0.1:{self.server.server_port}/hook?key=s3cret")
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook's other end."""
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_alert_arrives_as_json(receiver: Receiver) -> None:
    """A generic webhook gets every field."""
    WebhookChannel(receiver.url).send(made())
    (body,) = receiver.bodies

    assert ("HighCpu", "critical", 97.0, "%", 95) == (
        body["alert"], body["severity"], body["value"], body["unit"], body["limit"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Refused) for status in (408, 425, 429, 500, 502, 503, 599)),
        *((status, Rejected) for status in (301, 302, 307, 400, 401, 404, 410, 499)),
    ],
)
def test_webhook_answers_decide(receiver: Receiver, status: int, kind: type[Exception]) -> None:
    """Later for 408, 425, 429 and 5xx, never again for the rest; no redirect is followed."""
    receiver.status, receiver.headers = status, {"Retry-After": "7", "Location": "http://x/"}
    with pytest.raises(kind) as caught:
        WebhookChannel(receiver.url).send(made())

    assert 7.0 == getattr(caught.value, "retry_after", 7.0)
    assert 1 == len(receiver.bodies)


@pytest.mark.parametrize("url", ["http://example.org/hook", "ftp://example.org", "https://", "x"])
def test_webhook_needs_https(url: str) -> None:
    """Plain http is for this machine only; the URL is never shown."""
    with pytest.raises(ConfigError) as caught:
        WebhookChannel(Secret(url))

    assert "example.org" not in str(caught.value)


# --- which channels speak ----------------------------------------------------------------------
SPEAKING = {
    "smtp_host": "127.0.0.1", "alert_email_to": "ada@example.org",
    "alert_webhook_url": "https://hooks.example.org/x",
}  # fmt: skip


@pytest.mark.parametrize(
    ("alerts", "names"),
    [
        ("local", ["alert_log", "slack", "email", "webhook"]),
        ("both", ["alert_log", "slack", "email", "webhook"]),
        ("grafana", ["alert_log"]),
    ],
)
def test_setting_decides_who_speaks(alerts: str, names: list[str]) -> None:
    """PROLETTO_ALERTS: nobody is notified twice by accident; the log entry is always there."""
    config, _ = load({**SPEAKING, "alerts": alerts}, {}, {})

    built = channels.build(
        channels.Needs(config=config, log=lambda *_: None, slack=lambda *_: None)
    )

    assert names == [channel.name for channel in built]


def test_slack_gets_critical_alerts_unless_told_otherwise() -> None:
    """Slack notifications for critical alerts."""
    sent: list[str] = []
    channel = SlackChannel(lambda text, blocks: sent.append(text), "critical")

    assert (True, False) == (channel.wants(made()), channel.wants(made("warning")))
    assert SlackChannel(lambda text, blocks: None, "warning").wants(made("warning"))


@pytest.mark.parametrize("evil", ["", "<!channel> <@U1> <https://evil.example|ok> & " + "x" * 9000])
def test_slack_takes_the_message(evil: str) -> None:
    """The payload fits Slack's rules, whatever is in it."""
    with SlackServer() as slack:
        config, _ = load(
            {"slack_webhook_url": slack.webhook_url, "slack_allow_insecure": True}, {}, {}
        )
        client = SlackClient.of(config)
        assert client is not None
        channel = SlackChannel(client.post, "critical")
        channel.send(made(facts={"last_error": evil}))
        slack.answer(404, body="no_service")
        with pytest.raises(Rejected):
            channel.send(made())
        slack.answer(429, {"Retry-After": "7"})
        with pytest.raises(SlackRefused) as caught:
            channel.send(made())
        (message,) = slack.messages

    assert 7 == caught.value.retry_after
    assert "🔴 CRITICAL HighCpu · shop" == message.title


def test_email_without_receivers_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A half-configured channel is off, with one line that says what is missing."""
    config, _ = load({"smtp_host": "mail"}, {}, {})
    channels.build(channels.Needs(config=config))
    channels.build(channels.Needs(config=config))

    assert ["SMTP_HOST is set, but ALERT_EMAIL_TO is not: no alert emails"] == caplog.messages
