"""Alerts as JSON to a URL of the user's; https only, except to this machine."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.parsing import Secret
from proletto_otel.notify.channel import Refused, Rejected
from proletto_otel.notify.notification import Notification

if TYPE_CHECKING:
    from proletto_otel.notify.channels import Needs

TIMEOUT_S = 5.0
_RETRIED = (408, 425, 429)


class WebhookChannel:
    """POSTs every notification; follows no redirect."""

    name = "webhook"

    def __init__(self, url: Secret) -> None:
        self._url = url
        parts = urlsplit(url.reveal())
        secure = parts.scheme == "https" or (
            parts.scheme == "http" and _is_this_machine(parts.hostname)
        )
        if not parts.hostname or not secure:
            raise ConfigError.of("ALERT_WEBHOOK_URL", "***", "a URL that begins with https://")

    @classmethod
    def of(cls, needs: Needs) -> WebhookChannel | None:
        """Build the channel from the settings; a URL that is not https is reported and not used."""
        url = needs.config.alert_webhook_url
        if not url:
            return None
        try:
            return cls(url)
        except ConfigError as error:
            log_rate_limited("alerts.webhook", "%s; no alerts are sent there", error)
            return None

    def wants(self, notification: Notification) -> bool:
        """Every notification."""
        return True

    def send(self, notification: Notification) -> None:
        """POST one notification.

        Raises:
            Refused: when the receiver asks to come back later, or has an error of its own.
            Rejected: when it refuses the message for good.
        """
        status, retry_after = self._post(orjson.dumps(notification.as_json()))
        if 200 <= status < 300:
            return
        if status in _RETRIED or status >= 500:
            # Retry-After may also be a date; the queue's own pause does for that
            wait_s = float(retry_after) if retry_after and retry_after.isdigit() else None
            raise Refused(f"answered {status}", wait_s)
        raise Rejected(f"answered {status}")

    def _post(self, body: bytes) -> tuple[int, str | None]:
        parts = urlsplit(self._url.reveal())
        host, port = str(parts.hostname), parts.port
        # http.client follows no redirect: one could lead the message into the internal network
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
        headers = {"Content-Type": "application/json", "User-Agent": "proletto-alerts"}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, body, headers)
            response = connection.getresponse()
            return response.status, response.getheader("Retry-After")
        finally:
            connection.close()


def _is_this_machine(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
