"""Everything about one occurrence as Markdown: to paste into an issue or a chat.

All texts were redacted when they were recorded; source lines are when they are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.core.texts import iso_time
from proletto_otel.errors.group_rows import ErrorGroup
from proletto_otel.errors.occurrences import Occurrence
from proletto_otel.errors.stack_trace import StackFrame

MAX_VALUE = 2000
_TICKS = lazy_pattern(r"`+")


def as_markdown(occurrence: Occurrence, group: ErrorGroup | None = None) -> str:
    """The occurrence, and its *group*'s figures when they are given."""
    kind = occurrence.type or occurrence.message
    parts = [f"# {_inline(kind)}"]
    if occurrence.error_message:
        parts.append(_block(occurrence.error_message))
    parts.append(_table(_facts(occurrence, group)))
    if occurrence.traceback:
        parts += ["## Traceback", _block("\n".join(occurrence.traceback))]
        parts += _sources(occurrence)
    if occurrence.breadcrumbs:
        lines = (f"{b.at} {b.level:<8} {b.logger}: {b.message}" for b in occurrence.breadcrumbs)
        parts += ["## Before it", _block("\n".join(lines))]
    for title, facts in (
        ("Request", occurrence.request),
        ("Facts", occurrence.facts),
        ("Local variables", occurrence.locals),
    ):
        if facts:
            parts += [f"## {title}", _table(facts.items())]
    return "\n\n".join(parts) + "\n"


def _facts(occurrence: Occurrence, group: ErrorGroup | None) -> Iterable[tuple[str, Any]]:
    yield "At", iso_time(occurrence.at)
    yield "Event", occurrence.message
    yield "Logger", f"{occurrence.logger} ({occurrence.level})"
    yield "Environment", occurrence.environment
    yield "Version", occurrence.version
    yield "User", occurrence.user
    yield "Request ID", occurrence.request_id
    yield "Trace ID", occurrence.trace_id
    yield "Fingerprint", occurrence.group
    if group is not None:
        yield "Where", group.location
        yield "Occurrences", f"{group.count:,} since {iso_time(group.first_seen)}"
        yield "Users affected", group.users_text
        yield "State", group.state


def _sources(occurrence: Occurrence) -> list[str]:
    """The lines around the innermost frame of the application."""
    frames = [frame for raised in occurrence.raised[-1:] for frame in raised.frames if frame.own]
    return _source(frames[-1]) if frames else []


def _source(frame: StackFrame) -> list[str]:
    lines = frame.source()
    if not lines:
        return []
    text = "\n".join(
        f"{'>' if line.failing else ' '} {line.number:>5}  {line.text}" for line in lines
    )
    return [f"## {_inline(f'{frame.file}:{frame.line}')}", _block(text)]


def _table(facts: Iterable[tuple[str, Any]] | Mapping[str, Any]) -> str:
    pairs = facts.items() if isinstance(facts, Mapping) else facts
    rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in pairs if value not in ("", 0)]
    return "\n".join(["| | |", "|---|---|", *rows])


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return _inline(text[:MAX_VALUE])


def _inline(text: str) -> str:
    """Text that no Markdown reader takes for markup."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", one_line)


def _block(text: str) -> str:
    """A code block; its fence is longer than any in the text."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
