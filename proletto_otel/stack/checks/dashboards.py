"""Dashboards as files: what makes Grafana skip one, and links from rules to panels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from proletto_otel.stack.checks.finding import Finding, Texts, documents
from proletto_otel.stack.checks.provisioning import ALERTING

FOLDER = "grafana/dashboards/"


def check(texts: Texts) -> Iterator[Finding]:
    """Findings about dashboards, and about rules that lead nowhere."""
    boards = dict(_boards(texts))
    for key in ("uid", "title"):
        seen: dict[Any, str] = {}
        for path, board in boards.items():
            if not board.get(key):
                yield Finding(path, f"the dashboard has no {key}", f"write `{key}`")
            elif board[key] in seen:
                problem = f"{seen[board[key]]} has the same {key}: Grafana then writes neither"
                yield Finding(path, problem, "make them differ")
            seen[board.get(key)] = path
    for path, board in boards.items():
        if "dashboard" in board or "elements" in board:
            problem = "it is an export of the API or of the new format (v2)"
            yield Finding(path, problem, "export it as classic JSON")
        if board.get("id") is not None:
            yield Finding(path, "the dashboard has an id of another Grafana", "`id: null`")
    panels = {
        (board.get("uid"), str(panel.get("id")))
        for board in boards.values()
        for panel in board.get("panels") or ()
    }
    yield from check_links(texts, panels)


def _boards(texts: Texts) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, text in texts.items():
        if path.startswith(FOLDER) and path.endswith(".json"):
            try:
                # One that does not parse is reported by `checks.files`.
                found = json.loads(text)
            except json.JSONDecodeError:
                continue
            if isinstance(found, Mapping):
                yield path, found


def check_links(texts: Texts, panels: set[tuple[Any, str]]) -> Iterator[Finding]:
    """Every rule links to a panel that is there."""
    for path, document in documents(texts, ALERTING):
        for group in document.get("groups") or ():
            for rule in group.get("rules") or ():
                notes = rule.get("annotations") or {}
                place = (notes.get("__dashboardUid__"), notes.get("__panelId__"))
                if place[0] and place not in panels:
                    problem = f"rule {rule.get('title')!r} links to a panel that is not there"
                    yield Finding(path, problem, "the uid of a dashboard and the id of its panel")
