"""One rendering for every message in Slack: it fits Slack's rules whatever is in it."""

from __future__ import annotations

import pytest

from proletto_otel.notify.notification import Notification
from proletto_otel.notify.slack.message import blocks, message
from tests.slack_server import misfit


def notification(**changes: object) -> Notification:
    """An alert about the disk."""
    fields: dict[str, object] = {
        "kind": "alert", "event": "firing", "severity": "critical", "title": "🔴 CRITICAL Disk",
        "summary": "Disk is full", "rows": [("host", "web-1")], "since": 1.8e9, "at": 1.8e9,
    }  # fmt: skip
    return Notification(**{**fields, **changes})  # type: ignore[arg-type]


LONG = "<&>" * 3000
MANY = [(f"fact {n}", LONG) for n in range(60)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"summary": LONG},
        {"body": LONG},
        {"title": LONG},
        {"rows": MANY},
        {"links": {f"link {n}": "https://example.org/" + "x" * 400 for n in range(50)}},
        {"summary": "", "rows": []},
    ],
)
def test_slack_takes_it(changes: dict[str, object]) -> None:
    """No block over 3,000 characters, no empty text, no title over 150."""
    text, made = message(notification(**changes))

    assert "" == misfit({"text": text, "blocks": made})


def test_long_text_is_cut_at_a_whole_character() -> None:
    """What is cut is as long as it may be, and no entity is cut in two."""
    (section,) = (
        b for b in blocks(notification(rows=[], body="a" + "<" * 5000)) if b["type"] == "section"
    )
    shown = section["text"]["text"]

    assert 2890 < len(shown) <= 2900
    assert "a" + "&lt;" * (len(shown) // 4) == shown


def test_errors_and_alerts_are_escaped_alike() -> None:
    """Plain text holds entities, so `&lt;` typed by somebody shows as it was typed."""
    made = blocks(notification(summary="a &lt; b & <!channel>"))

    assert "a &amp;lt; b &amp; &lt;!channel&gt;" == made[1]["text"]["text"]


def test_links_that_do_not_fit_are_left_out_whole() -> None:
    """Half a link would be text that means nothing; a path is no link."""
    links = {"runbook": "docs/runbook.md", "trace": "https://t.example/?a=1|2"}
    made = blocks(notification(links={**links, "far": "https://x.example/" + "y" * 3000}))

    assert "<https://t.example/?a=1%7C2|trace>" == made[-1]["elements"][0]["text"]
