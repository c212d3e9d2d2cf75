"""What a search looks for: a prefilter over bytes, and the test of a parsed line.

A line passes the prefilter when it holds certain bytes; only then is it parsed, and what a nested
fact imitates (`"level":"ERROR"` in a body) is sorted out.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from proletto_otel.core import conventions as c
from proletto_otel.core.errors import ConfigError
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.logs.format.json import quoted
from proletto_otel.logs.record.stored import StoredRecord
from proletto_otel.logs.search.pattern import BoundedPattern
from proletto_otel.logs.search.took import Took, took

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MAX_TEXT = 500
NO_TEXT = frozenset(
    (
        c.TIMESTAMP, c.LEVEL, c.LINE, c.PROCESS_ID, c.LOG_THREAD_ID, c.REQUEST_ID, c.TRACE_ID,
        c.SPAN_ID, c.LOG_FINGERPRINT,
    )
)  # fmt: skip
"""Fields that a search for a text leaves out: a number is not meant to be a part of an ID."""
_INDEXED = lazy_pattern(r"[A-Za-z0-9._-]{1,128}")
"""IDs that are written as they are; others may be quoted in several ways."""
_ASCII_RUN = lazy_pattern(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What lines must have; everything that is given must hold."""

    identifier: str = ""
    """A request ID, a trace ID or an error's fingerprint."""
    request_id: str = ""
    trace_id: str = ""
    fingerprint: str = ""
    level: str = ""
    """This level or a higher one: `WARNING`."""
    logger: str = ""
    """This logger or one below it: `shop` finds `shop.payments`."""
    component: str = ""
    user: str = ""
    text: str = ""
    """In message, exception, logger, or the name or value of a fact; case does not matter."""
    pattern: str = ""
    """A regular expression for the message and the exception's text; expensive ones are refused."""
    duration_min: float | None = None
    """Milliseconds that a request took at least, as its access line says (`duration_ms`)."""
    duration_max: float | None = None
    """Milliseconds that it took at most."""
    since: float | None = None
    """Unix time."""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Needle:
    """One of these byte strings is in every line that is looked for."""

    alternatives: tuple[bytes, ...]
    folded: bool = False
    """Whether the line is brought to lower case first."""

    def positions(self, text: bytes) -> list[int]:
        """Where it stands in *text*, last first."""
        # Forwards and not with `rfind`: several times as fast where there is nothing.
        found: list[int] = []
        for needle in self.alternatives:
            at = text.find(needle)
            while at >= 0:
                found.append(at)
                # on to the next line: another one in the same line says nothing new
                end = text.find(b"\n", at)
                at = text.find(needle, end) if end >= 0 else -1
        return sorted(found, reverse=True)

    def within(self, line: bytes) -> bool:
        """Whether *line* has it."""
        text = line.lower() if self.folded else line
        return any(needle in text for needle in self.alternatives)


class Matcher:
    """A query, ready to be asked about lines.

    Raises:
        ConfigError: for an unknown level, a regular expression that is refused, or durations of
            which the least is more than the most.
    """

    def __init__(self, query: LogQuery) -> None:
        self.query = query
        self.took = took(query.duration_min, query.duration_max)
        self.min_level = level_number(query.level) if query.level else 0
        self.pattern = BoundedPattern(query.pattern) if query.pattern else None
        self.text = query.text.strip()[:MAX_TEXT].casefold()
        self.needles = tuple(self._needles())
        """The most selective first."""
        self.index_keys = tuple(self._index_keys())
        """Of IDs that a line must have, as the block index has them."""
        self.high_levels = tuple(level_number(name) >= self.min_level for name in LEVELS)
        """Which of `LEVELS` are looked for."""

    def _index_keys(self) -> Iterator[int]:
        q = self.query
        for identifier in (q.identifier, q.request_id, q.trace_id, q.fingerprint):
            if _INDEXED.fullmatch(identifier):
                yield key_of(identifier.encode())

    def _needles(self) -> Iterator[Needle | Took]:
        q = self.query
        ids = (c.REQUEST_ID, c.TRACE_ID, c.LOG_FINGERPRINT)
        if q.identifier:
            yield Needle(tuple(n for name in ids for n in _members(name, q.identifier)))
        for name, value in zip(ids, (q.request_id, q.trace_id, q.fingerprint), strict=True):
            if value:
                yield Needle(_members(name, value))
        if q.user:
            bare = (f'"{c.USER}":{q.user}'.encode(),) if q.user.isdecimal() else ()
            yield Needle((*_members(c.USER, q.user), *bare))
        if self.took is not None:
            yield self.took
        if self.text:
            # "ss" is left out, as folding makes it of an "ß"
            runs = (run for part in self.text.split("ss") for run in _ASCII_RUN.findall(part))
            run = max(runs, key=len, default="")
            if run:
                yield Needle((quoted(run)[1:-1].encode(),), folded=True)
        if q.component:
            yield Needle(_members(c.COMPONENT, q.component))
        if q.logger:
            yield Needle((f'"{c.LOGGER_NAME}":{quoted(q.logger)[:-1]}'.encode(),))
        if self.min_level > logging.INFO:  # below, nearly every line has it
            names = [name for name in LEVELS if level_number(name) >= self.min_level]
            if names:
                yield Needle(tuple(f'"{c.LEVEL}":"{name}"'.encode() for name in names))

    def matches(self, line: StoredRecord) -> bool:
        """Whether a line that passed the prefilter is looked for."""
        q = self.query
        if q.since is not None and line.at < q.since:
            return False
        if q.until is not None and line.at > q.until:
            return False
        ids = (line.request_id, line.trace_id, line.fingerprint)
        if q.identifier and q.identifier not in ids:
            return False
        wanted = ((q.request_id, q.trace_id, q.fingerprint), ids)
        if any(want and want != have for want, have in zip(*wanted, strict=True)):
            return False
        has = ((q.user, line.user), (q.component, line.component))
        if any(want and want != have for want, have in has):
            return False
        if q.logger and line.logger != q.logger and not line.logger.startswith(f"{q.logger}."):
            return False
        if self.min_level and level_number(line.level, strict=False) < self.min_level:
            return False
        if self.took and not self.took.holds(line.record.get(c.ACCESS_DURATION_MS)):
            return False
        said = {name: value for name, value in line.record.items() if name not in NO_TEXT}
        if self.text and not any(self.text in text.casefold() for text in _texts(said)):
            return False
        if self.pattern is None:
            return True
        texts = (line.message, line.type, line.error_message)
        return any(self.pattern.found_in(text) for text in texts)


def _members(name: str, value: str) -> tuple[bytes, ...]:
    """The member of a JSON object, as both encoders of `logs.format.json` write it."""
    forms = dict.fromkeys((quoted(value), json.dumps(value)))
    return tuple(f'"{name}":{form}'.encode("utf-8", "replace") for form in forms)


def _texts(value: Any, depth: int = 8) -> Iterator[str]:
    """Every name and value of a record as text."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _texts(member, depth - 1) if depth else ()
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member, depth - 1) if depth else ()
    elif value is not None:
        yield value if isinstance(value, str) else json.dumps(value)


def key_of(identifier: bytes) -> int:
    """32 bits of an ID: a block that does not have them does not have the ID."""
    return zlib.crc32(identifier)


def level_number(name: str, *, strict: bool = True) -> int:
    """The number of a level's name.

    Raises:
        ConfigError: for an unknown one, if *strict*; else it counts as INFO.
    """
    number = logging.getLevelName(name.upper())
    if isinstance(number, int):
        return number
    if strict:
        raise ConfigError.of("level", name, f"one of {', '.join(LEVELS)}")
    return logging.INFO
