"""Where a log call stands: its process, who speaks, how loud, and where in the source.

It is the same for all records of one call, so it is resolved once, and sinks keep with it what
they made of it.
"""

from __future__ import annotations

import logging
import os
from types import CodeType, FrameType
from typing import Any

from proletto_otel.logs.record.logger_name import LoggerPolicy


class CodeLocation:
    """A function in the source, resolved once per code object."""

    __slots__ = ("function", "module", "path", "qualified")

    def __init__(self, path: str, function: str, qualified: str) -> None:
        self.path = path
        self.module = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or path
        self.function = function
        self.qualified = qualified

    @classmethod
    def of(cls, code: CodeType) -> CodeLocation:
        """The place of *code*; dozens of ns when it was seen before."""
        found = _codes.get(code)
        if found is None:
            if len(_codes) > MAX_CODES:
                _codes.clear()
            qualified = getattr(code, "co_qualname", code.co_name)  # since Python 3.11
            found = _codes[code] = cls.named(code.co_filename, code.co_name, qualified)
        return found

    @classmethod
    def named(cls, path: str, function: str, qualified: str = "") -> CodeLocation:
        """A place known by its names only."""
        return cls(*(ascii_if_odd(name) for name in (path, function, qualified or function)))


def ascii_if_odd(name: str) -> str:
    """*name*, its odd characters escaped: code made at run time can be called anything."""
    return name if name.isprintable() else name.encode("ascii", "backslashreplace").decode()


DEFAULT_ENVIRONMENT = "development"
MAX_CODES = 10_000
"""Functions that are remembered,"""
MAX_PLACES = 10_000
"""and log calls,"""
MAX_NAMES = 2000
"""and names of loggers."""
_codes: dict[CodeType, CodeLocation] = {}
UNKNOWN = CodeLocation("", "", "")
LEVEL_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class Process:
    """This process's number, known without a system call per record, and its environment."""

    def __init__(self) -> None:
        self.serve(DEFAULT_ENVIRONMENT)

    def serve(self, environment: str) -> None:
        """Be part of *environment* from now on."""
        self.environment = environment
        self.look()

    def look(self) -> None:
        """Ask the system (after a fork)."""
        self.id = os.getpid()
        self.json: dict[int, bytes] = {}
        """For `logs.format.json`: what it says of this process and each thread."""


this_process = Process()
os.register_at_fork(after_in_child=this_process.look)


class CallSite:
    """Who speaks, how loud, and where in the source: what all records of one log call share.

    Sinks keep here what they made of it.
    """

    __slots__ = (
        "code",
        "json",
        "level",
        "level_name",
        "line",
        "logger",
        "name",
        "otlp",
        "source",
        "text",
    )

    def __init__(
        self, name: LoggerPolicy | str, level: int, code: CodeLocation = UNKNOWN, line: int = 0
    ) -> None:
        self.name = name = LoggerPolicy(name) if isinstance(name, str) else name
        """What the logger's name says."""
        self.logger = name.clean
        self.level = level
        self.level_name = LEVEL_NAMES.get(level) or logging.getLevelName(level)
        self.code = code
        self.line = line
        self.source: object = None
        """What must live as long as this does."""
        self.json: tuple[bytes, bytes] | None = None
        """For `logs.format.json`: what stands before the message and behind it."""
        self.text = f" - {self.logger} - {self.level_name} - "
        """Between time and message in the default format."""
        self.otlp = b""
        """For `logs.sinks.otlp`: severity and attributes."""


class CallSites:
    """The places seen so far; a program that invents names or code at run time stays bounded."""

    def __init__(self) -> None:
        self._names: dict[str, LoggerPolicy] = {}
        self.known: dict[tuple[Any, ...], CallSite] = {}
        """By a key of the caller's."""

    def of_frame(self, frame: FrameType, level: int, logger: str) -> CallSite:
        """The place of the call that *frame* is at."""
        code = frame.f_code
        # the instruction, not the line: a line has to be searched for in a table
        key = (id(code), frame.f_lasti, level, logger)
        place = self.known.get(key)
        if place is None:
            place = self.make(key, logger, level, CodeLocation.of(code), frame.f_lineno)
            place.source = code  # nothing else gets its id meanwhile
        return place

    def of(self, logger: str, level: int, code: CodeLocation, line: int) -> CallSite:
        """The place of a call that is known by its names."""
        key = (logger, level, code, line)
        return self.known.get(key) or self.make(key, logger, level, code, line)

    def make(
        self, key: tuple[Any, ...], logger: str, level: int, code: CodeLocation, line: int
    ) -> CallSite:
        """Make the place of *key*, which is not known."""
        if len(self.known) >= MAX_PLACES:
            self.known = {}
        place = self.known[key] = CallSite(self.name(logger), level, code, line)
        return place

    def name(self, logger: str) -> LoggerPolicy:
        """What is known of a name."""
        found = self._names.get(logger)
        if found is None:
            if len(self._names) >= MAX_NAMES:
                self._names = {}
            found = self._names[logger] = LoggerPolicy(logger)
        return found

    def forget(self) -> None:
        """Resolve everything anew (another sanitiser, a test)."""
        self._names, self.known = {}, {}
