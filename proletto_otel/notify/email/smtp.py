"""Emails over SMTP with STARTTLS; a server that cannot encrypt is refused unless configured."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from proletto_otel.core.config import Config
from proletto_otel.core.parsing import Secret
from proletto_otel.notify.channel import Rejected

TIMEOUT_S = 10.0
SMTPS_PORT = 465
"""On this port TLS begins with the first byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The mail server, and who writes."""

    host: str
    port: int = 587
    user: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    starttls: bool = True
    sender: str

    @classmethod
    def of(cls, config: Config) -> Mail:
        """As the settings say; without a sender the first receiver writes to itself."""
        return cls(
            host=config.smtp_host,
            port=config.smtp_port,
            user=config.smtp_user,
            password=config.smtp_password,
            starttls=config.smtp_starttls,
            sender=config.alert_email_from or next(iter(config.alert_email_to), ""),
        )


class Smtp:
    """Sends emails, each over a connection of its own.

    Args:
        mail: The server.
        context: Holds the trusted certificates; default: those of the system.
    """

    def __init__(self, mail: Mail, context: ssl.SSLContext | None = None) -> None:
        self._mail = mail
        self._context = context

    def send(self, subject: str, text: str, receivers: Sequence[str]) -> None:
        """Hand one message to the mail server.

        Raises:
            Rejected: when the server refuses sender, receivers or content for good.
            OSError: the server is away (`smtplib.SMTPException` is one).
        """
        message = self.compose(subject, text, receivers)
        try:
            with self._connect() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            # Raised only when every receiver was refused. 4xx is greylisting or a full mailbox:
            # later it may be taken.
            if all(code >= 500 for code, _ in error.recipients.values()):
                raise Rejected("receivers refused") from error
            raise
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            if error.smtp_code >= 500:
                raise Rejected(f"refused with {error.smtp_code}") from error
            raise

    def compose(self, subject: str, text: str, receivers: Sequence[str]) -> EmailMessage:
        """The message with its headers."""
        sender = self._mail.sender
        message = EmailMessage()
        message["Subject"] = _one_line(subject)
        message["From"] = _one_line(sender)
        message["To"] = ", ".join(_one_line(receiver) for receiver in receivers)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(
            domain=sender.rpartition("@")[2].strip("> ") or "localhost"
        )
        # RFC 3834: tells out-of-office replies not to answer.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message

    def _connect(self) -> smtplib.SMTP:
        mail = self._mail
        context = self._context or ssl.create_default_context()
        if mail.port == SMTPS_PORT:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                mail.host, mail.port, timeout=TIMEOUT_S, context=context
            )
        else:
            server = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT_S)
        try:
            # No fallback to plain text: a server in between could strip STARTTLS and read the
            # password.
            if mail.starttls and mail.port != SMTPS_PORT:
                server.starttls(context=context)
            if mail.user:
                server.login(mail.user, mail.password.reveal())
        except BaseException:
            server.close()
            raise
        return server


def _one_line(value: str) -> str:
    """*value* on one line: a newline would begin a header of its own."""
    return " ".join(value.split())
