"""One kept-alive HTTP connection to a peer, with short timeouts and no library in between.

`http.client` speaks HTTP; `requests` alone would cost 33 ms of import. What an answer means for the
records is decided in `export.signal_exporter`.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from proletto_otel.core.record import record
from proletto_otel.export.connect import connect
from proletto_otel.export.endpoint import Endpoint, Peer
from proletto_otel.export.payload import Payload

CONNECT_TIMEOUT_S = 0.5
MAX_ANSWER_BYTES = 65_536
"""An answer says little; the rest is not read and the connection is closed."""
STALE = (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest)
"""What an open connection raises when the peer has closed it meanwhile."""


class Unreachable(Exception):
    """No answer came; its text says why in a word or two."""


@record(frozen=True, slots=True, eq=False)
class Answer:
    """The peer's answer to one request."""

    status: int
    retry_after_s: float | None = None
    """Seconds it asked us to wait."""

    body: bytes = b""
    date: str = ""
    """The peer's clock, as its `Date` header has it."""


@record(frozen=True, slots=True, eq=False)
class _Question:
    """One request."""

    method: str
    target: str
    """Path and query."""
    body: bytes | None
    headers: Mapping[str, str]
    most_bytes: int = MAX_ANSWER_BYTES
    """Of the answer."""


class HttpConnection:
    """A connection to one peer, made when needed; used by one thread.

    Args:
        peer: Who to call.
        read_timeout_s: Longest wait for an answer.
        clock: Unix seconds, for dates in `Retry-After`.
    """

    def __init__(
        self, peer: Peer, read_timeout_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.peer = peer
        self._read_timeout_s = read_timeout_s
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None
        self._tls: ssl.SSLContext | None = None
        self._inherited: http.client.HTTPConnection | None = None

    def forked(self) -> None:
        """Forget the connection in a child: it belongs to the parent.

        Only the descriptor is closed. The objects are kept: the parent's thread may have been
        reading through them, and finalising them would wait for a lock of that thread.
        """
        self._inherited, self._connection = self._connection, None
        if self._inherited is not None and self._inherited.sock is not None:
            with contextlib.suppress(OSError):
                os.close(self._inherited.sock.detach())

    def close(self) -> None:
        """End the connection; the next `post` makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def post(self, endpoint: Endpoint, payload: Payload, timeout_s: float) -> Answer:
        """Send a payload and wait for the answer, together at most about *timeout_s*.

        Raises:
            Unreachable: no answer came.
        """
        question = _Question("POST", endpoint.path, payload.body, _headers(endpoint, payload))
        return self._ask(question, timeout_s)

    def get(self, endpoint: Endpoint, target: str, timeout_s: float, most_bytes: int) -> Answer:
        """Ask for *target* (path and query) with the headers of *endpoint*.

        Raises:
            Unreachable: no answer came.
        """
        question = _Question("GET", target, None, _own_headers(endpoint), most_bytes)
        return self._ask(question, timeout_s)

    def _ask(self, question: _Question, timeout_s: float) -> Answer:
        reused = self._connection is not None
        try:
            try:
                return self._once(question, timeout_s)
            except STALE:
                if not reused:
                    raise
                # The peer closed it while we were idle: nobody has read this request, so sending it
                # again cannot deliver it twice. On a new connection the same error is an outage.
                self.close()
                return self._once(question, timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Unreachable(_why(error)) from error

    def _once(self, question: _Question, timeout_s: float) -> Answer:
        answer_s = min(self._read_timeout_s, timeout_s)
        connection = self._connected(min(CONNECT_TIMEOUT_S, timeout_s), answer_s)
        if connection.sock is not None:
            connection.sock.settimeout(answer_s)
        # A proxy of plain HTTP is asked for the whole URL; for HTTPS it passes a tunnel on.
        target = question.target
        if self.peer.proxy is not None and self.peer.scheme == "http":
            target = self.peer.shown + target
        connection.request(question.method, target, question.body, dict(question.headers))
        # `http.client` reads status line and headers without a limit of time beyond the socket's,
        # which begins anew with every byte: a peer that sends one each second would hold the
        # thread.
        made: Any = partial(_response, time.monotonic() + answer_s)
        connection.response_class = made
        response = connection.getresponse()
        body = response.read(question.most_bytes)
        # What is left of an answer would be read as the beginning of the next one.
        if response.will_close or not response.isclosed():
            self.close()
        asked = _retry_after(response.headers.get("retry-after"), self._clock())
        return Answer(response.status, asked, body, response.headers.get("date", ""))

    def _connected(self, connect_s: float, answer_s: float) -> http.client.HTTPConnection:
        if self._connection is None:
            connection = self._new()
            # the one place where http.client lets its caller open the socket
            connection._create_connection = (  # type: ignore[attr-defined]  # private, unchanged since 3.2
                lambda address, *_: connect(address[0], address[1], connect_s, answer_s)
            )
            connection.connect()
            # Set when it is open: one that failed to connect is not taken for a kept-alive one.
            self._connection = connection
        return self._connection

    def _new(self) -> http.client.HTTPConnection:
        peer, proxy = self.peer, self.peer.proxy
        host, port = (proxy.host, proxy.port) if proxy else (peer.host, peer.port)
        if peer.scheme == "http":
            return http.client.HTTPConnection(host, port)
        # The certificates are read once, and not for every new connection.
        if self._tls is None:
            tls = ssl.create_default_context(cafile=peer.certificate or None)
            if peer.client_certificate:
                tls.load_cert_chain(peer.client_certificate, peer.client_key or None)
            self._tls = tls
        secure = http.client.HTTPSConnection(host, port, context=self._tls)
        if proxy:
            extra = {"Proxy-Authorization": proxy.authorization.reveal()}
            secure.set_tunnel(peer.host, peer.port, extra if proxy.authorization else None)
        return secure


class _ByDeadline(io.RawIOBase):
    """The bytes of a socket until a deadline (monotonic), however slowly they come.

    A socket's own timeout begins anew with every byte.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Timed:
    """A socket as `http.client.HTTPResponse` needs it; what it reads ends by *deadline*."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_ByDeadline(self._sock, self._deadline))


def _response(
    deadline: float, sock: socket.socket, *args: Any, **options: Any
) -> http.client.HTTPResponse:
    timed: Any = _Timed(sock, deadline)
    return http.client.HTTPResponse(timed, *args, **options)


def _headers(endpoint: Endpoint, payload: Payload) -> dict[str, str]:
    headers = {"content-type": "application/x-protobuf"}
    if payload.encoding:
        headers["content-encoding"] = payload.encoding
    # Last, so that what the user set wins.
    return {**headers, **_own_headers(endpoint)}


def _own_headers(endpoint: Endpoint) -> dict[str, str]:
    """Headers of every request to *endpoint*."""
    headers = {"user-agent": "proletto-otel"}
    proxy = endpoint.peer.proxy
    if proxy and proxy.authorization and endpoint.peer.scheme == "http":
        headers["proxy-authorization"] = proxy.authorization.reveal()
    # In lower case, so that no header is sent twice.
    headers.update({name.lower(): value.reveal() for name, value in endpoint.headers.items()})
    return headers


def _retry_after(text: str | None, now_s: float) -> float | None:
    # RFC 9110, 10.2.3: seconds or a date. A text that is neither is as good as no header.
    if not text:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(text)) if float(text) < 1e9 else None
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    return None


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "host name not found"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, FileNotFoundError):
        return "certificate file not found"
    return type(error).__name__
