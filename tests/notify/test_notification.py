"""What arrives at people is readable and cannot be abused."""

from __future__ import annotations

import json

import pytest

from proletto_otel.alerts.indicators import INDICATORS, health
from proletto_otel.alerts.notices import Notice, Origin, notice
from proletto_otel.alerts.thresholds import Threshold
from proletto_otel.core.texts import human_duration
from proletto_otel.notify.email.text import text
from proletto_otel.notify.slack.message import blocks as slack_blocks
from proletto_otel.notify.slack.message import preview

ORIGIN = Origin(
    service="shop", environment="production", host="web-1",
    dashboard_url="https://shop.example/admin/monitoring", runbook_url="https://wiki/runbook",
)  # fmt: skip
EVIL = "<!channel> <@U1> <https://evil.example|ok> & *bold* " + "x" * 1_000_000


def _health(message: str, **changes: object) -> Notice:
    threshold = Threshold(metric="health:database", warning=0.5, critical=1.5)
    arguments: dict[str, object] = {
        "severity": "critical", "resolved": False, "value": 2.0, "since": 1.8e9, "at": 1.8e9 + 60,
        "facts": {"message": message}, **changes,
    }  # fmt: skip
    return notice(threshold, health("database"), ORIGIN, **arguments)  # type: ignore[arg-type]


def test_nothing_in_an_alert_mentions_people_or_links() -> None:
    """Slack: no mention, no link out of a value; blocks under 3,000 characters."""
    notification = _health(EVIL).as_notification()
    blocks = slack_blocks(notification)

    assert [] == [
        block for block in blocks
        if block["type"] != "context" and block["text"]["type"] != "plain_text"
    ]  # fmt: skip
    assert "<!" not in preview(notification)
    assert "<@" not in preview(notification)
    assert "<http" not in preview(notification)
    assert max(len(b["text"]["text"]) for b in blocks if "text" in b) < 3000


def test_links_lead_to_runbook_and_dashboard() -> None:
    """Each message carries its links."""
    context = slack_blocks(_health("down").as_notification())[-1]["elements"][0]["text"]

    assert "<https://wiki/runbook#healthcheckfailing|runbook>" in context
    assert "<https://shop.example/admin/monitoring|dashboard>" in context
    assert "https://wiki/runbook#healthcheckfailing" in text(_health("down").as_notification())


def test_health_message_says_what_the_check_said() -> None:
    """The reason stands in the sentence."""
    assert "Health check database is unhealthy: refused" == _health("refused").summary
    resolved = _health("", value=0.0, resolved=True, at=1.8e9 + 720)
    assert "Health check database is healthy again after 12 min" == resolved.summary


def test_request_of_ours_links_to_its_trace() -> None:
    """A generated request ID is the trace ID; another one is no trace."""
    origin = Origin(
        service="s", environment="e", host="h", trace_url="https://t.example/{trace_id}"
    )
    links = [origin.links("HighErrorRate", {"error_request_id": i}) for i in ("ab" * 16, "rid-7")]

    assert ["https://t.example/" + "ab" * 16, None] == [found.get("trace") for found in links]


def test_webhook_json_is_plain() -> None:
    """Times are ISO 8601, numbers are numbers."""
    data = json.loads(json.dumps(_health("refused").as_json()))

    assert ("2027-01-15T08:00:00Z", 2.0, "critical", "firing") == (
        data["since"], data["value"], data["severity"], data["event"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (45, "45 s"), (61, "1 min 1 s"), (300, "5 min"), (1500, "25 min"),
     (7800, "2 h 10 min"), (3600, "1 h"), (90000, "1 d")],
)  # fmt: skip
def test_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    """Seconds, minutes, hours, days."""
    assert said == human_duration(seconds)


def test_value_carries_its_unit() -> None:
    """97.3 % of CPU, 1.2 s of latency, 512 files."""
    assert "97.3 %" == INDICATORS["cpu_percent"].show(97.3)
    assert "1.2 s" == INDICATORS["response_time_p95"].show(1.2)
    assert "512" == INDICATORS["open_files"].show(512.0)
    assert "1000" == INDICATORS["open_files"].show(1000.0)
    assert "51200" == INDICATORS["open_files"].show(51200.0)
    assert "51235" == INDICATORS["open_files"].show(51234.6)


def test_long_texts_of_a_check_are_cut() -> None:
    """What a check said may be a page; a message holds its beginning, in every receiver."""
    notification = _health("x" * 100_000)

    assert 300 == len(notification.facts["message"])
    assert len(text(notification.as_notification())) < 2000


def test_facts_are_rows_with_labels() -> None:
    """The last error and its request ID stand in the message, one a row."""
    facts = {"error_request_id": "rid-7", "last_error": "GET /: ValueError"}
    shown = slack_blocks(_health("down", facts=facts).as_notification())[2]["text"]["text"]

    assert {"error request id: rid-7", "last error: GET /: ValueError", "host: web-1"} <= set(
        shown.splitlines()
    )
