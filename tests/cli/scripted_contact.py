"""Grafana's contact point as a script: routes, bodies and statuses are those of Grafana 12.4.0."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.waiting import PATIENCE_S

READ = "/api/v1/provisioning/contact-points"
TEST = "/api/alertmanager/grafana/config/api/v1/receivers/test"
SECRET = {"slack": ("url", "token"), "webhook": (), "email": ()}
"""The settings that Grafana shows as `[REDACTED]`."""


@dataclass
class Contact:
    """The contact point `proletto` with one integration."""

    address: str
    kind: str = "slack"
    uid: str = "proletto-contact"

    def shown(self) -> list[dict[str, Any]]:
        """What Grafana answers to who reads it."""
        key = "addresses" if self.kind == "email" else "url"
        value = "[REDACTED]" if key in SECRET[self.kind] else self.address
        settings = {key: value, "title": '{{ template "proletto.title" . }}'}
        return [
            {"uid": self.uid, "name": "proletto", "type": self.kind, "settings": settings,
             "disableResolveMessage": False, "provenance": "file"}
        ]  # fmt: skip

    def tested(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and answer of a test: the message goes where the stored secret says."""
        (receiver,) = body["receivers"]
        (integration,) = receiver["grafana_managed_receiver_configs"]
        if (receiver["name"], integration["uid"]) != ("proletto", self.uid):
            return 400, {"message": "unknown receiver"}
        address = integration["settings"].get("url", self.address)
        outcome: dict[str, Any] = {"name": "proletto", "uid": self.uid, "status": "ok"}
        if problem := _post(address, body["alert"]):
            outcome |= {"status": "failed", "error": problem}
        receivers = [{"name": "proletto", "grafana_managed_receiver_configs": [outcome]}]
        answer = {"alert": body["alert"], "receivers": receivers, "notified_at": "2026-11-30"}
        return 207 if problem else 200, answer


def _post(address: str, alert: dict[str, Any]) -> str:
    """What went wrong; empty when the message was taken."""
    text = {"text": alert["annotations"]["summary"]}
    try:
        with urllib.request.urlopen(address, json.dumps(text).encode(), timeout=PATIENCE_S):
            return ""
    except (OSError, ValueError) as error:
        return str(error)
