"""The tokens that open the admin pages, and where a request carries one."""

from __future__ import annotations

import base64
import binascii
import hmac

from flask import Request

from proletto_otel.core.config import Config
from proletto_otel.web.visitor import OPERATOR, VIEWER

MAX_BASIC = 4096
"""Characters of credentials that are decoded; browsers send less."""


class Tokens:
    """`MONITOR_ADMIN_TOKEN` makes an operator, `MONITOR_VIEWER_TOKEN` a viewer.

    Args:
        config: The settings.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    def __bool__(self) -> bool:
        return bool(self._config.admin_token or self._config.viewer_token)

    def with_roles(self) -> list[tuple[str, str]]:
        """Each token that is set, and the role it gives."""
        config = self._config
        found = [(config.admin_token.reveal(), OPERATOR), (config.viewer_token.reveal(), VIEWER)]
        return [(token, role) for token, role in found if token]

    def match(self, given: str | bytes) -> tuple[str, str] | None:
        """The token that *given* is, and its role; None: it is none."""
        said = given.encode("utf-8", "replace") if isinstance(given, str) else given
        # each is compared, so that the time tells nothing
        same = [
            (token, role)
            for token, role in self.with_roles()
            if hmac.compare_digest(said, token.encode())
        ]
        return same[0] if same else None


def given_token(asked: Request) -> bytes | None:
    """What came as a bearer, or from a browser as the password of any user; None: nothing."""
    kind, _, given = asked.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return given.strip().encode("utf-8", "replace") or None
    if kind.lower() != "basic" or len(given) > MAX_BASIC:
        return None
    try:
        return base64.b64decode(given.strip(), validate=True).partition(b":")[2] or None
    except (binascii.Error, ValueError):
        return None


def bearer_matches(asked: Request, token: str) -> bool:
    """Whether *token* came as a bearer."""
    kind, _, given = asked.headers.get("Authorization", "").partition(" ")
    if not token or kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
