"""The runbook as a dashboard: a panel per alert, so that links work without another web site."""

from __future__ import annotations

import re

from proletto_otel.stack import dashboard_uids as d
from tools.dashboards import panels as p
from tools.dashboards.dashboard import Dashboard, Row

LINE_ROWS = 0.75
"""Rows of the grid that a line of text takes."""


def sections(markdown: str) -> dict[str, str]:
    """Heading -> text of docs/runbook.md."""
    parts = re.split(r"(?m)^## (.+)$", markdown)
    return {name.strip(): text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def dashboard(markdown: str) -> Dashboard:
    """The page; *markdown* is the text of docs/runbook.md."""
    # Links become emphasis: headings of the file are panels here, and other files are not there.
    rows = [
        p.text(
            title,
            re.sub(r"\[([^\]]+)\]\([^)]*\)", r"*\1*", text),
            height=4 + int(LINE_ROWS * len(text.splitlines())),
        )
        for title, text in sections(markdown).items()
    ]
    return Dashboard(
        uid=d.RUNBOOK, title="Runbook", annotations=False, rows=[Row("", rows)],
        description="What each alert means, where to look first, what helps.",
    )  # fmt: skip
