"""Times, durations and texts as people read them; the same in every message, page and log line."""

from __future__ import annotations

from datetime import datetime, timezone


def iso_time(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the second: `2026-01-31T08:00:00Z`."""
    made = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
    return made.replace("+00:00", "Z")


def human_duration(seconds: float) -> str:
    """Seconds as a person says them: `45 s`, `5 min`, `2 h 10 min`, `3 d`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    if whole < 86400:
        hours, rest = divmod(whole, 3600)
        return f"{hours} h {rest // 60} min" if rest >= 60 else f"{hours} h"
    return f"{whole // 86400} d"


def readable(text: str) -> str:
    """*text* as UTF-8 can carry it: a lone surrogate, of a file name for example, as its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
