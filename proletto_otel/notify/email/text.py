"""A notification as an email: subject and plain text."""

from __future__ import annotations

from proletto_otel.notify.notification import Notification


def subject(notification: Notification) -> str:
    """The title and the environment, on one line: a newline would begin a header of its own."""
    environment = notification.data.get("environment")
    title = f"{notification.title} ({environment})" if environment else notification.title
    return " ".join(title.split())


def text(notification: Notification) -> str:
    """Title, text, rows and links."""
    lines = [notification.title, "", notification.text, ""]
    lines += [f"{label}: {value}" for label, value in notification.rows]
    lines += [f"{label}: {url}" for label, url in notification.links.items()]
    return "\n".join(lines) + "\n"
