"""A notification in Slack: text for previews, and Block Kit blocks.

Everything that came from outside is escaped here and nowhere else: nothing in it becomes a mention,
a link or an entity.
"""

from __future__ import annotations

from typing import Any

from proletto_otel.notify.notification import Notification

MAX_BLOCK = 2900
"""Slack refuses a text of more than 3,000 characters in a block."""
MAX_HEADER = 150
"""Slack's limit for a header."""
MAX_PREVIEW = 500
"""More than any notification on a screen shows."""

Blocks = list[dict[str, Any]]


def message(notification: Notification) -> tuple[str, Blocks]:
    """Text and blocks, ready to be posted."""
    return preview(notification), blocks(notification)


def preview(notification: Notification) -> str:
    """The line that a phone or a desktop shows."""
    parts = (notification.title, notification.summary)
    return inert(": ".join(part for part in parts if part)[:MAX_PREVIEW])


def blocks(notification: Notification) -> Blocks:
    """Title, text, rows and links; values as plain text, in which no markup is read."""
    rows = "\n".join(f"{label}: {value}" for label, value in notification.rows)
    # Plain text objects, not mrkdwn: nothing in an error message can become a link or a mention.
    made: Blocks = [{"type": "header", "text": _plain(notification.title, MAX_HEADER)}]
    made += [
        {"type": "section", "text": _plain(text, MAX_BLOCK)}
        for text in (notification.text, rows)
        if text
    ]
    if links := _links(notification):
        context = {"type": "mrkdwn", "text": links, "verbatim": True}
        made.append({"type": "context", "elements": [context]})
    return made


def escape(text: str) -> str:
    """*text* so that Slack reads no mention, link or entity in it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def inert(text: str) -> str:
    """As `escape`, for texts in which Slack makes links of bare addresses and names, too."""
    return escape(text).replace("://", ":\u200b//").replace("@", "@\u200b")


def _plain(text: str, limit: int) -> dict[str, Any]:
    """A plain text object. Slack decodes entities in it, so they are escaped."""
    text = text[:limit]
    # cut before escaping: half an entity would show as it is; a character becomes five at most
    while (excess := len(escape(text)) - limit) > 0:
        text = text[: -max(excess // 5, 1)]
    return {"type": "plain_text", "text": escape(text) or " ", "emoji": False}


def _links(notification: Notification) -> str:
    links = ""
    for label, url in notification.links.items():
        if url.startswith(("https://", "http://")):  # a path of this project leads nowhere there
            link = f"<{escape(url).replace('|', '%7C')}|{escape(label)}>"
            longer = f"{links} · {link}" if links else link
            links = longer if len(longer) <= MAX_BLOCK else links
    return links
