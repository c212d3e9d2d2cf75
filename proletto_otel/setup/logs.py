"""Logging put together from the settings: which sinks there are, and how they are undone.

`components` calls `install` once, and adds the database and Slack sinks with `pipeline.add`.
"""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.errors.counter import count_error
from proletto_otel.logs.access_log import AccessLog
from proletto_otel.logs.api import loggers
from proletto_otel.logs.format import text as text_format
from proletto_otel.logs.intake import structlog as structlog_intake
from proletto_otel.logs.intake import uncaught
from proletto_otel.logs.intake.stdlib import Installed
from proletto_otel.logs.pipeline import Pipeline, pipeline
from proletto_otel.logs.record.call_site import this_process
from proletto_otel.logs.sinks.console import ConsoleSink, to_stderr
from proletto_otel.logs.sinks.files.daily import DailyFileSink
from proletto_otel.logs.sinks.files.file_sink import FileSink, SizedFileSink
from proletto_otel.logs.sinks.files.upkeep import Upkeep
from proletto_otel.logs.sinks.otlp import OtlpSink
from proletto_otel.logs.sinks.sink import Sink
from proletto_otel.runtime.lifecycle import Component

ERROR = 40


_line = operator.attrgetter("text_line")
_json = operator.attrgetter("json")


class Logs(Component):
    """The installed logging: the pipeline's sinks and what was changed in other loggers."""

    name = "logs"

    def __init__(self, config: Config, to: Pipeline, sinks: list[Sink]) -> None:
        self._config = config
        self._pipeline = to
        self.upkeep = Upkeep(
            [sink for sink in sinks if isinstance(sink, (SizedFileSink, DailyFileSink))],
            compress=config.log_compress,
            retention_days=config.log_retention_days,
        )
        """Its `run` compresses and ages rotated files: for a ticker, every minute."""
        self.access: AccessLog | None = None
        """For the request path; None when `MONITOR_REQUEST_LOGGING` is 0."""
        if config.request_logging:
            self.access = AccessLog(to, config.app_name)
        self.stdlib = Installed(to, config.log_level)
        self._old_name = loggers.logger.name
        loggers.logger.name = config.app_name
        self.gate = to.deferred.gate  # held while deferred copies are written

    def adopt(self, app: Any) -> None:
        """Take over what Flask and werkzeug print by themselves."""
        # Flask's own handler prints where ours does not because a test suite runs (not because
        # somebody switched the console off).
        prints = self._config.log_console or "log_console" in self._config.configured
        self.stdlib.adopt(app, access_log=self.access is not None, mute_default=prints)

    def findings(self) -> list[str]:
        """Sentences about other parts of the program that repeat or bypass the pipeline."""
        found = [*self.stdlib.findings(), structlog_intake.finding()]
        return [sentence for sentence in found if sentence]

    def status(self) -> dict[str, dict[str, Any]]:
        """Health of each sink by its name."""
        return {sink.name: sink.status() for sink in self._pipeline.sinks}

    def uninstall(self) -> None:
        """Leave the program's logging as it was before `install`."""
        self._pipeline.deferred.stop()
        self.stdlib.undo()
        structlog_intake.uninstall()
        uncaught.uninstall()
        loggers.logger.name = self._old_name
        for sink in self._pipeline.sinks:
            if isinstance(sink, (SizedFileSink, DailyFileSink)):
                sink.close()
        self._pipeline.close()
        text_format.configure(text_format.DEFAULT_FORMAT)

    # --- component -----------------------------------------------------------------------------
    def start(self) -> None:
        """Start every sink; be on the root logger even if a `dictConfig` swept it clean."""
        self.stdlib.attach()
        self._each(lambda sink: sink.start())
        self._pipeline.deferred.start()

    def stop(self, deadline: float) -> None:
        """Stop every sink; files and console go on writing what is still logged."""
        self._pipeline.deferred.stop()
        self._each(lambda sink: sink.stop(deadline))

    def flush(self, deadline: float) -> bool:
        """Flush every sink; whether all was delivered in time."""
        done = [self._pipeline.deferred.flush()]
        self._each(lambda sink: done.append(sink.flush(deadline)))
        return all(done) and time.monotonic() <= deadline

    def forked(self) -> None:
        """Reset every sink; what waits in memory is written by the parent."""
        this_process.refresh()  # a fork by a server in C runs no hook of Python's
        self._pipeline.deferred.forked()
        self.gate = self._pipeline.deferred.gate
        self._each(lambda sink: sink.forked())

    def _each(self, act: Callable[[Sink], None]) -> None:
        for sink in self._pipeline.sinks:
            with suppressed(f"logs.{sink.name}"):
                act(sink)


def install(
    config: Config,
    *,
    otlp: Callable[[Sequence[bytes]], None] | None = None,
    lock_dir: str | os.PathLike[str] | None = None,
) -> tuple[Logs, list[str]]:
    """Send all log records of the program to the sinks that *config* names.

    Args:
        config: The settings.
        otlp: Takes OTLP log records (`Batcher.put_many`); None sends none.
        lock_dir: Directory for rotation locks; default `LOG_DIR`: beside the files.

    Returns:
        The installed logging, and one sentence for each setting that did not fit.
    """
    warning = text_format.configure(config.log_format)
    sinks: list[Sink] = []
    if config.log_console:
        sinks.append(ConsoleSink(json=config.log_console_format == "json"))
    if config.log_files:
        sinks += file_sinks(config, Path(lock_dir or config.log_dir).absolute())
    if otlp is not None:
        sinks.append(OtlpSink(otlp))
    pipeline.use(sinks)
    pipeline.listen(count_error, logs=False)
    pipeline.open(
        level=config.log_level,
        environment=config.environment,
        breadcrumbs=config.breadcrumbs,
    )
    logs = Logs(config, pipeline, sinks)
    structlog_intake.install()
    if config.capture_uncaught:
        uncaught.install()
    return logs, [warning] if warning else []


def file_sinks(config: Config, lock_dir: Path) -> list[Sink]:
    """The three files of the specification."""
    # an absolute path: the program may change its directory
    base = Path(config.log_dir).absolute()
    sinks: list[FileSink] = [
        SizedFileSink(
            "file", base / f"{config.app_name}.log", _line, lock_dir=lock_dir,
            max_bytes=config.log_max_bytes, backups=config.log_backups,
        ),
        DailyFileSink(
            "error_file", base / f"{config.app_name}_error.log", _line, lock_dir=lock_dir,
            level=ERROR, backups=config.log_error_backups,
        ),
        SizedFileSink(
            "json_file", base / f"{config.app_name}_structured.json", _json, lock_dir=lock_dir,
            max_bytes=config.log_json_max_bytes, backups=config.log_backups,
            # with the console on, each line is printed already
            fallback=None if config.log_console else to_stderr,
        ),
    ]  # fmt: skip
    for sink in sinks:
        sink.safe_copy = sink.name == "json_file"
        sink.may_wait = not sink.safe_copy
    return [*sinks]
