"""One peer: a connection and one breaker for all signals that go there.

A peer that does not answer is down for every signal; what it answers is a matter of the signal
(`export.signal_exporter`). The log lines that a peer went away and came back are written here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from proletto_otel.core.conventions import TELEMETRY_EXPORT_DURATION
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.registry import registry
from proletto_otel.export.endpoint import Endpoint
from proletto_otel.export.http_connection import Answer, Unreachable
from proletto_otel.export.payload import Payload
from proletto_otel.runtime.circuit_breaker import Breaker

EMPTY = Payload(b"", 0)
"""A valid request without records: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request"""
_durations = registry.histogram(TELEMETRY_EXPORT_DURATION)


class Connection(Protocol):
    """What speaks to a peer: HTTP (`export.http_connection`) or gRPC (`export.grpc_connection`)."""

    def post(self, endpoint: Endpoint, payload: Payload, timeout_s: float) -> Answer:
        """Send a payload; raises `Unreachable`."""

    def close(self) -> None:
        """End the connection."""

    def forked(self) -> None:
        """Forget the connection in a child."""


class Destination:
    """One peer as the export thread sees it.

    Args:
        shown: The peer in messages.
        expected: Whether somebody configured it; a default is logged once, if it ever answered.
        waits_in: Where telemetry waits meanwhile, for the message.
    """

    def __init__(
        self,
        connection: Connection,
        shown: str,
        *,
        expected: bool,
        waits_in: str,
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.breaker = Breaker(clock)
        self.shown = shown
        self.last_error = ""
        self._connection, self._timeout_s, self._clock = connection, timeout_s, clock
        self._expected, self._waits_in = expected, waits_in
        self._announced = self._answered = False

    def post(
        self, endpoint: Endpoint, sink: str, payload: Payload, deadline: float
    ) -> Answer | None:
        """Send a payload by *deadline* (monotonic); `None` when the peer does not answer."""
        began = self._clock()
        try:
            # A third of what is left: two more such waits, for the other signals, and the write to
            # disk still fit. The half second is for connecting; the time-out is for the answer.
            timeout_s = max(0.05, min(self._timeout_s + 0.5, (deadline - began) / 3))
            answer = self._connection.post(endpoint, payload, timeout_s)
        except Unreachable as error:
            self._observe(began, sink, str(error).partition(":")[0])
            self._went_away(str(error))
            return None
        self._observe(began, sink, str(answer.status) if answer.status >= 300 else None)
        self._answered = True
        # Any answer, a 500 too, shows that the peer is there; what it means is the signal's
        # breaker's.
        if self.breaker.failures and self._announced:
            back = f"otlp:{self.shown}:back"
            message = "the collector at %s answers again"
            log_rate_limited(back, message, self.shown, level=logging.INFO)
        self.breaker.succeeded()
        return answer

    def answers(self, endpoint: Endpoint, sink: str, deadline: float) -> bool:
        """Whether the peer is there; one that was away is asked with an empty request first.

        A hung peer may wake up and take all that was ever sent to it: records in each probe would
        arrive many times.
        """
        if not self.breaker.failures:
            return True
        return self.breaker.ready() and self.post(endpoint, sink, EMPTY, deadline) is not None

    def forked(self) -> None:
        """Forget the connection in a child: it is the parent's."""
        self._connection.forked()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _observe(self, began: float, sink: str, error: str | None) -> None:
        _durations.cell((sink, error)).observe(self._clock() - began)

    def _went_away(self, why: str) -> None:
        self.last_error = why
        # Only the first failure of an outage is logged; the breaker tries for hours.
        first = self.breaker.state == "closed"
        self.breaker.failed()
        if not first:
            return
        if self._expected:
            message = "the collector at %s does not answer (%s); telemetry waits in %s"
            self._announced = log_rate_limited(
                f"otlp:{self.shown}", message, self.shown, why, self._waits_in
            )
        # nobody configured it: worth a line where one was there, once in the life of the process
        elif self._answered and not self._announced:
            message = (
                "no collector answers any more at %s (%s); telemetry waits in %s. Set "
                "OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_SDK_DISABLED=1 if there is none"
            )
            args = (self.shown, why, self._waits_in)
            self._announced = log_rate_limited(
                f"otlp:{self.shown}", message, *args, level=logging.INFO
            )
