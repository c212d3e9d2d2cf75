"""Errors: what fails, for whom, is it new? And one group of errors in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from proletto_otel.errors.group_rows import STATES, ErrorGroup
from proletto_otel.errors.occurrences import Occurrence
from proletto_otel.errors.stack_trace import Raised, StackFrame
from proletto_otel.web.pages import AdminPage, listed

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked

MAX_SEARCH = 200
SORTS = {"last": "Last seen", "first": "First seen", "count": "Times", "users": "Users",
         "recent": "Rising"}  # fmt: skip
ALL = "all"
LISTED = 20
"""Occurrences in the list of a group."""
JOINED = {"cause": "which caused", "context": "while it was handled came"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Frames that belong together: one of the application, or a run of library frames."""

    is_own: bool
    frames: tuple[StackFrame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One exception of a chain, innermost call first."""

    text: str
    joined: str
    """How the one above it came of this one; empty for the error itself."""
    parts: tuple[Part, ...]


def read(asked: Asked) -> Mapping[str, Any]:
    """The groups in the order that the address asks for."""
    errors = asked.site.monitor.errors
    state, sort = asked.query.get("state", "open"), asked.query.get("sort", "last")
    state = state if state in (*STATES, ALL) else "open"
    sort = sort if sort in SORTS else "last"
    text = asked.query.get("text", "").strip()[:MAX_SEARCH]
    limit = listed(asked, "limit", 50)
    version = asked.query.get("version") or None
    found = errors.groups(
        state=None if state == ALL else state, query=text, sort=sort, limit=limit,
        first_version=version, trend_s=asked.range.seconds,
    )  # fmt: skip
    return {
        "groups": found,
        "counts": errors.count_groups(query=text),
        "state": state,
        "states": (*STATES, ALL),
        "sort": sort,
        "sorts": SORTS,
        "text": text,
        "limit": limit,
        "first_version": version or "",
        "newest": errors.version,
        "totals": errors.totals(),
        "problem": errors.problem,
    }


def groups(asked: Asked, limit: int) -> Sequence[ErrorGroup]:
    """The latest open ones."""
    return asked.site.monitor.errors.groups(state="open", limit=limit, trend_s=3600.0)


def read_group(asked: Asked, fingerprint: str) -> Mapping[str, Any] | None:
    """One group with one of its occurrences: the latest, or `?occurrence=<ID>`."""
    errors = asked.site.monitor.errors
    group = errors.group(fingerprint, trend_s=asked.range.seconds)
    if group is None:
        return None
    listed_ones = errors.occurrences(fingerprint, limit=LISTED)
    wanted = asked.query.get("occurrence", "")
    chosen = errors.occurrence(int(wanted)) if wanted.isdecimal() and len(wanted) < 18 else None
    if chosen is None or chosen.group != fingerprint:
        chosen = listed_ones[0] if listed_ones else None
    older = errors.occurrences(fingerprint, before=chosen.id, limit=1) if chosen else []
    return {
        "group": group,
        "occurrence": chosen,
        "older": older[0].id if older else None,
        "newer": _newer(listed_ones, chosen),
        "occurrences": listed_ones,
        "raised": [shown(r) for r in reversed(chosen.raised)] if chosen else [],
        "raw": "\n".join(chosen.traceback) if chosen else "",
        "markdown": errors.as_markdown(chosen) if chosen else "",
    }


def _newer(found: Sequence[Occurrence], chosen: Occurrence | None) -> int | None:
    ids = [occurrence.id for occurrence in found]
    if chosen is None or chosen.id not in ids[1:]:
        return None
    return ids[ids.index(chosen.id) - 1]


def shown(raised: Raised) -> Shown:
    """An exception as it is shown."""
    runs = groupby(reversed(raised.frames), lambda frame: frame.own)
    parts = []
    for own, frames in runs:
        found = tuple(frames)
        parts += (
            [Part(is_own=True, frames=(frame,)) for frame in found]
            if own
            else [Part(is_own=False, frames=found)]
        )
    return Shown(text=raised.text, joined=JOINED.get(raised.leads_as, ""), parts=tuple(parts))


PAGE = AdminPage(
    path="/errors", name="errors", label="Errors", key="e",
    description="What fails, for whom, and is it new?", read=read, template="errors.html",
)  # fmt: skip
GROUP = AdminPage(
    path="/errors/<fingerprint>", name="error", label="Error", in_navigation=False,
    description="Where in the code, in which requests, and who works on it?",
    read=read_group, template="error.html",
)  # fmt: skip
