"""What a channel is: one way to reach a person, and how it says that it could not."""

from __future__ import annotations

from typing import Protocol

from proletto_otel.notify.notification import Notification


class Refused(Exception):
    """The receiver is there and asks to come back later."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds."""


class Rejected(Exception):
    """The receiver will never take this message; trying again is useless."""


class Channel(Protocol):
    """One way to reach a person. Each has a queue and a thread of its own (`notify.notifier`)."""

    name: str
    """The sink's name in the delivery ledger."""

    def wants(self, notification: Notification) -> bool:
        """Whether this channel sends *notification*."""

    def send(self, notification: Notification) -> None:
        """Deliver *notification*; may take seconds.

        Raises:
            Refused: come back later.
            Rejected: never again.
            Exception: anything else is tried again, too.
        """
