"""Alerts as JSON to a URL of the user's; https only, except to this machine."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from urllib.parse import urlsplit

import orjson

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.parsing import Secret
from proletto_otel.notify.notification import Notice
from proletto_otel.notify.notifier import Refused, Rejected

TIMEOUT_S = 5.0
_RETRIED = (408, 425, 429)


class WebhookChannel:
    """POSTs every notice; follows no redirect."""

    name = "webhook"

    def __init__(self, url: Secret) -> None:
        self._url = url
        parts = urlsplit(url.reveal())
        secure = parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname))
        if not parts.hostname or not secure:
            raise ConfigError.of("ALERT_WEBHOOK_URL", "***", "a URL that begins with https://")

    def wants(self, notice: Notice) -> bool:
        """Every notice."""
        return True

    def send(self, notice: Notice) -> None:
        """POST one notice.

        Raises:
            Refused: when the receiver asks to come back later, or has an error of its own.
            Rejected: when it refuses the message for good.
        """
        status, retry_after = self._post(orjson.dumps(notice.as_json()))
        if 200 <= status < 300:
            return
        if status in _RETRIED or status >= 500:
            raise Refused(f"answered {status}", _seconds(retry_after))
        raise Rejected(f"answered {status}")

    def _post(self, body: bytes) -> tuple[int, str | None]:
        parts = urlsplit(self._url.reveal())
        connection = _connection(parts.scheme, str(parts.hostname), parts.port)
        headers = {"Content-Type": "application/json", "User-Agent": "proletto-alerts"}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, body, headers)
            response = connection.getresponse()
            return response.status, response.getheader("Retry-After")
        finally:
            connection.close()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _is_here(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() else None
