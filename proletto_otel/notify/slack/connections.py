"""slack_sdk's clients, following no redirect.

urllib follows a 301, 302 or 303 with a GET: the message would be lost and count as delivered when
the target answers 200, and the bot token would go to whatever host the redirect names.
"""

from __future__ import annotations

from typing import Any
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient, WebhookResponse


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """None makes urllib raise the answer as an `HTTPError`, which slack_sdk turns into one."""


class Webhook(WebhookClient):
    """An incoming webhook."""

    # These two methods are private in slack_sdk, which has no other way to choose an opener; both
    # are the same in 3.30 and 3.47. Were they renamed, redirects would be followed again.
    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        status, headers, body = _sent(self, req)
        return WebhookResponse(url=url, status_code=status, body=body, headers=headers)


class Bot(WebClient):
    """The bot API."""

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        status, headers, body = _sent(self, req)
        return {"status": status, "headers": headers, "body": body}


def _sent(client: WebClient | WebhookClient, req: Request) -> tuple[int, dict[str, str], str]:
    # The opener takes HTTPS_PROXY and NO_PROXY from the environment.
    opener = build_opener(_NoRedirects, HTTPSHandler(context=client.ssl))
    with opener.open(req, timeout=client.timeout) as answer:
        return answer.status, dict(answer.headers), answer.read().decode("utf-8", "replace")
