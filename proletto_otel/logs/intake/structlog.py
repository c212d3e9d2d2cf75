"""structlog's events join the pipeline.

When the application has not configured structlog, `structlog.get_logger()` writes into our
pipeline from set-up on. When it has, its configuration is left alone; put `to_pipeline` last:

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, ..., to_pipeline])

structlog itself is imported only if the program imports it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from functools import partial
from types import FrameType
from typing import Any

from proletto_otel.core.after_import import after_import, forget
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.logs.api.loggers import level_number, logger, safe_str, stdlib_words, text_of
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.record.call_site import UNKNOWN, CodeLocation

_LEVELS = {"warn": 30, "exception": 40, "err": 40, "failure": 40, "fatal": 50, "msg": 20}
_METHODS = frozenset(
    (
        "debug",
        "info",
        "warn",
        "warning",
        "err",
        "error",
        "fatal",
        "critical",
        "exception",
        "failure",
        "msg",
    )
)
_INNER = ("structlog", "proletto_otel.logs.intake.structlog")


class _Target:
    """The logger that structlog wraps. `to_pipeline` reads its name; mostly it is never called.

    A chain that the program configures after the set-up may end otherwise and still write here, for
    `structlog.configure` leaves a factory that it is not given as it was: then this is a logger
    like any other.
    """

    def __init__(self, name: object = None, *_: object) -> None:
        self.name = name if isinstance(name, str) else logger.name

    def __getattr__(self, name: str) -> Any:
        if name in _METHODS:
            return partial(_write, self, name)
        return getattr(logging.getLogger(self.name), name)


def _write(target: _Target, method: str, event: object = "", *args: object, **facts: Any) -> None:
    with suppressed("logs.structlog"):
        extra = facts.pop("extra", None)  # of `render_to_log_kwargs`
        facts = {**(extra if isinstance(extra, dict) else {}), **facts}
        text = text_of(facts.pop("msg", event), args)
        _emit(target, method, {**{safe_str(key): v for key, v in facts.items()}, "event": text})


def to_pipeline(target: Any, method: str, event: MutableMapping[str, Any]) -> Any:
    """Last processor of a structlog chain: hands the event to the pipeline.

    Raises:
        structlog.DropEvent: always; it says to structlog that nothing is left to do.
    """
    with suppressed("logs.structlog"):
        _emit(target, method, {safe_str(key): value for key, value in event.items()})
    raise sys.modules["structlog"].DropEvent


def _emit(target: Any, method: str, facts: dict[str, Any]) -> None:
    level = _LEVELS.get(method) or level_number(method)
    name = facts.pop("logger", None) or getattr(target, "name", None) or logger.name
    # Before anything is made of the facts: most DEBUG events end here.
    lowest = pipeline.level
    if pipeline.overrides is not None:
        lowest = pipeline.overrides.level_of(safe_str(name), 0, lowest)
    if level < lowest:
        return
    text = text_of(facts.pop("event", ""), ())
    # usual processors add what a record has anyway, and what only they need
    for word in ("level", "timestamp", "_logger", "_name", "_record", "_from_structlog"):
        facts.pop(word, None)
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_INNER):
        frame = frame.f_back  # the caller is the first frame outside structlog and this module
    error, frame = stdlib_words(facts, frame)
    code = UNKNOWN if frame is None else CodeLocation.of(frame.f_code)
    line = 0 if frame is None else frame.f_lineno
    pipeline.emit(safe_str(name), level, text, facts, error, code, line)


def install() -> None:
    """Let unconfigured structlog write into the pipeline, now or once it is imported."""
    after_import("structlog", _configure)


def uninstall() -> None:
    """Undo `install`."""
    forget("structlog")
    structlog = sys.modules.get("structlog")
    if structlog is None or not _has_our_factory(structlog):
        return
    if is_ours(structlog):
        structlog.reset_defaults()
    else:  # the rest is the program's
        structlog.configure(logger_factory=structlog.PrintLoggerFactory())


def is_ours(structlog: Any) -> bool:
    """Whether structlog's configuration is the one `install` makes."""
    return _has_our_factory(structlog) and structlog.get_config()["processors"][-1:] == [
        to_pipeline
    ]


def _has_our_factory(structlog: Any) -> bool:
    return bool(structlog.is_configured()) and structlog.get_config()["logger_factory"] is _Target


def finding() -> str:
    """Advice when the application configured structlog without the pipeline, else empty."""
    structlog = sys.modules.get("structlog")
    if structlog is None or not structlog.is_configured() or _has_our_factory(structlog):
        return ""
    config = structlog.get_config()
    if to_pipeline in config["processors"] or "stdlib" in safe_str(config["logger_factory"]):
        return ""
    return (
        "structlog is configured by the application and its events do not reach the log files; "
        "make proletto_otel.logs.intake.structlog.to_pipeline its last processor"
    )


def _configure(structlog: Any) -> None:
    # The program was faster; its chain is left as it is.
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, to_pipeline],
        wrapper_class=structlog.make_filtering_bound_logger(0),
        logger_factory=_Target,
        # A cached logger would go past a chain that the program configures later.
        cache_logger_on_first_use=False,
    )
