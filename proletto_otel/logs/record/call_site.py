"""Call sites: logger, level, function and line of a log call, and the process it runs in.

All records of one call share its call site, so it is resolved once (a line number alone
costs up to 2 us: it is searched for in a table), and renderers cache in it what they made of it.
"""

from __future__ import annotations

import logging
import os
from types import CodeType, FrameType
from typing import Any

from proletto_otel.core.bounded_cache import BoundedCache
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
        """The location of *code*, resolved once."""
        return _locations[code]

    @classmethod
    def named(cls, path: str, function: str, qualified: str = "") -> CodeLocation:
        """A location known by its names only."""
        return cls(*(ascii_if_odd(name) for name in (path, function, qualified or function)))


def ascii_if_odd(name: str) -> str:
    """*name*, its odd characters escaped: code made at run time can be called anything."""
    return name if name.isprintable() else name.encode("ascii", "backslashreplace").decode()


DEFAULT_ENVIRONMENT = "development"
MAX_FUNCTIONS = 10_000
"""Functions with a cached location,"""
MAX_CALL_SITES = 10_000
"""call sites,"""
MAX_NAMES = 2000
"""and names of loggers."""


_locations: BoundedCache[CodeLocation] = BoundedCache(
    lambda code: CodeLocation.named(
        code.co_filename,
        code.co_name,
        getattr(code, "co_qualname", code.co_name),  # since 3.11
    ),
    MAX_FUNCTIONS,
)
UNKNOWN = CodeLocation("", "", "")
LEVEL_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class Process:
    """This process's number, known without a system call per record, and its environment."""

    def __init__(self) -> None:
        self.use_environment(DEFAULT_ENVIRONMENT)

    def use_environment(self, environment: str) -> None:
        """Belong to *environment* from now on."""
        self.environment = environment
        self.refresh()

    def refresh(self) -> None:
        """Ask the system for the process ID (after a fork)."""
        self.id = os.getpid()
        self.json: dict[int, bytes] = {}
        """Set by `logs.format.json`: the encoded process fields by thread ID."""


this_process = Process()
os.register_at_fork(after_in_child=this_process.refresh)


class CallSite:
    """Logger, level, function and line of a log call: what all its records share."""

    __slots__ = (
        "code",
        "json",
        "level",
        "level_name",
        "line",
        "logger",
        "otlp",
        "policy",
        "source",
        "text",
    )

    def __init__(
        self, name: LoggerPolicy | str, level: int, code: CodeLocation = UNKNOWN, line: int = 0
    ) -> None:
        self.policy = LoggerPolicy(name) if isinstance(name, str) else name
        """Clean name of the logger, and whether its records leave the process."""
        # cleaned and looked up once here, so that no record asks again
        self.logger = self.policy.clean
        self.level = level
        self.level_name = LEVEL_NAMES.get(level) or logging.getLevelName(level)
        self.code = code
        self.line = line
        self.source: object = None
        """The code object; its ID is in the key, so it must not be freed while the key is known."""
        self.json: tuple[bytes, bytes] | None = None
        """Set by `logs.format.json`: the encoded fields before and after the message."""
        self.text = f" - {self.logger} - {self.level_name} - "
        """Between time and message in the default format."""
        self.otlp = b""
        """Set by `logs.sinks.otlp`: encoded severity and attributes."""


class CallSites:
    """The call sites seen so far; bounded also where names or code are made at run time."""

    def __init__(self) -> None:
        self._policies = BoundedCache(LoggerPolicy, MAX_NAMES)
        self.known: dict[tuple[Any, ...], CallSite] = {}
        """By a key of the caller's."""

    def of_frame(self, frame: FrameType, level: int, logger: str) -> CallSite:
        """The call site of the call that *frame* is at."""
        code = frame.f_code
        # the instruction, not the line: a line has to be searched for in a table
        key = (id(code), frame.f_lasti, level, logger)
        found = self.known.get(key)
        if found is None:
            # the code object stays referenced: its ID must not become that of another one
            found = self.make(key, logger, level, CodeLocation.of(code), frame.f_lineno)
            found.source = code
        return found

    def of(self, logger: str, level: int, code: CodeLocation, line: int) -> CallSite:
        """The call site that is known by its names."""
        key = (logger, level, code, line)
        return self.known.get(key) or self.make(key, logger, level, code, line)

    def make(
        self, key: tuple[Any, ...], logger: str, level: int, code: CodeLocation, line: int
    ) -> CallSite:
        """Make the call site of *key*, which is not known."""
        # Emptied, not shortened: a program has a few hundred; only code made at run time, or logger
        # names with an ID in them, come here, and then no entry is worth more than another.
        if len(self.known) >= MAX_CALL_SITES:
            self.known = {}
        made = self.known[key] = CallSite(self._policies[logger], level, code, line)
        return made

    def forget(self) -> None:
        """Resolve everything anew (another sanitiser, a test)."""
        self._policies.clear()
        self.known = {}
