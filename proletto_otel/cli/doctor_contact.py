"""A test alert through Grafana, to the contact point that ALERT_CONTACT_POINT picks."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator, Mapping
from typing import Any

from proletto_otel.cli.doctor_stores import Stores
from proletto_otel.cli.doctor_verdict import WrongError
from proletto_otel.core.severity import WARNING

CONTACT = "proletto"
"""The contact point of every file in `grafana/contact-points`."""
READ = "/api/v1/provisioning/contact-points"
TEST = "/api/alertmanager/grafana/config/api/v1/receivers/test"
REDACTED = "[REDACTED]"
"""Grafana shows this instead of a secret; left out, the test takes the stored secret."""
NOBODY = "http://127.0.0.1:9/"
"""Where the contact points send whose address is not set."""
TIMEOUT_S = 20.0
"""Grafana itself gives a receiver 15 s."""
ALERT = {
    # The labels by which the shipped message templates write title and colour.
    "labels": {"alertname": "DoctorTest", "alertname_base": "DoctorTest", "severity": WARNING},
    "annotations": {"summary": "Test of proletto_otel doctor: Grafana's alerts arrive here."},
}
_APPLY = "in .env, then `docker-compose up -d`"
_OTHER = f"ALERT_CONTACT_POINT=slack-webhook (or slack-bot, email) with its variables {_APPLY}"
_FIXES = {
    "slack": f"correct SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN and SLACK_CHANNEL_ID, {_APPLY}",
    "email": f"GRAFANA_SMTP_ENABLED=true, SMTP_HOST, its login and ALERT_EMAIL_TO {_APPLY}",
}


def contact_answers(stores: Stores) -> str:
    """Grafana's contact point takes a test alert."""
    integrations = _integrations(stores)
    if not integrations:
        fix = "`docker-compose logs grafana`; `python -m proletto_otel stack check`"
        raise WrongError(f"Grafana has no contact point {CONTACT}", fix)
    if all(NOBODY in str(each["settings"]) for each in integrations):
        raise WrongError("Grafana tells nobody of alerts", _OTHER)
    kinds = {each["uid"]: str(each["type"]) for each in integrations}
    for outcome in _outcomes(stores, integrations):
        if outcome["status"] != "ok":
            kind = kinds.get(outcome["uid"], "")
            problem = f"{kind} does not take the message: {outcome.get('error')}"
            raise WrongError(problem, _FIXES.get(kind, _OTHER))
    return f"Grafana sent it by {', '.join(sorted(set(kinds.values())))}"


def _integrations(stores: Stores) -> list[dict[str, Any]]:
    """What the contact point consists of, as the test wants it back."""
    found = []
    for each in stores.get(READ, name=CONTACT):
        settings = {key: value for key, value in each["settings"].items() if value != REDACTED}
        found.append({**each, "settings": settings})
    return found


def _outcomes(stores: Stores, integrations: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """How each integration fared."""
    receiver = {"name": CONTACT, "grafana_managed_receiver_configs": integrations}
    try:
        answer = stores.post(TEST, {"receivers": [receiver], "alert": ALERT}, TIMEOUT_S)
    except urllib.error.HTTPError as error:
        # 400 and 408 have the same body, when every integration is wrong, or too slow.
        answer = _json(error)
    for each in answer["receivers"]:
        yield from each["grafana_managed_receiver_configs"]


def _json(error: urllib.error.HTTPError) -> Any:
    body = error.read()
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if "receivers" not in answer:
        said = str(answer.get("message", "")) or body[:200].decode(errors="replace")
        fix = "give --user an administrator of Grafana; versions before 12.4 are not supported"
        raise WrongError(f"Grafana answers {error.code} to the test: {said}", fix) from error
    return answer
