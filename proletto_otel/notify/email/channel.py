"""Alerts by email, over SMTP with STARTTLS; a server that cannot encrypt is refused unless told."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from proletto_otel.core.parsing import Secret
from proletto_otel.notify.notification import Notice, text
from proletto_otel.notify.notifier import Rejected

SendMail = Callable[[str, str, tuple[str, ...]], None]
"""Sends an email another way than SMTP: subject, text, receivers."""

TIMEOUT_S = 10.0
SMTPS_PORT = 465
"""On this port TLS begins with the first byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The mail server and the people."""

    host: str
    port: int = 587
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    starttls: bool = True
    sender: str
    receivers: Sequence[str]


class EmailChannel:
    """Sends every notice to all receivers in one message."""

    name = "email"

    def __init__(self, mail: Mail, other_way: SendMail | None = None) -> None:
        self._mail = mail
        self._other_way = other_way

    def wants(self, notice: Notice) -> bool:
        """Every notice."""
        return True

    def send(self, notice: Notice) -> None:
        """Hand one message to the mail server.

        Raises:
            Rejected: when the server refuses sender, receivers or content for good.
        """
        message = compose(notice, self._mail)
        if self._other_way is not None:
            self._other_way(message["Subject"], text(notice), tuple(self._mail.receivers))
            return
        try:
            with self._connect() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            if all(code >= 500 for code, _ in error.recipients.values()):
                raise Rejected("receivers refused") from error
            raise
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            if error.smtp_code >= 500:
                raise Rejected(f"refused with {error.smtp_code}") from error
            raise

    def _connect(self) -> smtplib.SMTP:
        mail = self._mail
        if mail.port == SMTPS_PORT:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                mail.host, mail.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_S)
        try:
            if mail.starttls and mail.port != SMTPS_PORT:
                server.starttls(context=ssl.create_default_context())
            if mail.user:
                server.login(mail.user, mail.password.reveal())
        except BaseException:
            server.close()
            raise
        return server


def compose(notice: Notice, mail: Mail) -> EmailMessage:
    """The message for *notice*."""
    message = EmailMessage()
    message["Subject"] = _line(f"{notice.title} ({notice.environment})")
    message["From"] = _line(mail.sender)
    message["To"] = ", ".join(_line(receiver) for receiver in mail.receivers)
    message["Date"] = formatdate(notice.at)
    message["Message-ID"] = make_msgid(domain=_domain(mail.sender))
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text(notice))
    return message


def _line(value: str) -> str:
    """*value* on one line: a newline would begin a header of its own."""
    return " ".join(value.split())


def _domain(address: str) -> str:
    return address.rpartition("@")[2].strip("> ") or "localhost"
