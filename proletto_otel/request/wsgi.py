"""What a WSGI server and an application hand to each other, by name, and what stands in for it.

How one request is answered with it lives in `request.exchange`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

StartResponse = Callable[..., Callable[[bytes], object]]
Body = Iterable[bytes]
Headers = list[tuple[str, str]]
Environ = dict[str, Any]

STREAMS = ("text/event-stream", "multipart/x-mixed-replace")
"""Types of responses that go on for as long as somebody listens."""
CANCELLED = frozenset(("GeneratorExit", "CancelledError", "GreenletExit"))
"""By name, for asyncio and gevent may not be there: whoever waited for the answer has gone."""
COMPLETE = (list, tuple)
"""Bodies that are there as a whole."""
GONE: Environ = {}
"""In place of the environ of a request that is over."""


def start_nothing(*_: Any) -> Callable[[bytes], object]:
    """In place of the server's `start_response` once a request is over, so that the server is not
    held in memory by a request that somebody else holds."""
    return bool


def is_websocket(environ: Environ, status: int) -> bool:
    """Whether the client asked to speak WebSocket from here on, and was not refused."""
    upgrade = environ.get("HTTP_UPGRADE", "")
    # Flask-Sock answers through the socket and then sends no status, or Werkzeug's empty 200, which
    # nobody sees; a refusal has a status of its own.
    return bool(upgrade) and upgrade.lower() == "websocket" and status in (0, 101, 200)


class Failing:
    """A body that fails where the server asks for it, as it would have."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        raise self._error
