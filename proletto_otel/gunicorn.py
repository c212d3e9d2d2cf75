"""Optional gunicorn settings: `gunicorn -c python:proletto_otel.gunicorn shop:app`.

Telemetry starts in the worker as it boots, not with its first request, and gunicorn's own lines
go through the pipeline wherever there is one: in the workers, and with `--preload` in the master.
A master that does not load the application prints its lines as gunicorn does. Nothing depends on
this file: without it telemetry starts with the first request, and gunicorn prints its own lines.
"""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger as _Logger


class _WhereNoPipelineIs(logging.Filter):
    """On gunicorn's own handler for the console: each line is printed once, by the one or other."""

    def filter(self, record: logging.LogRecord) -> bool:
        # not by its class: the master, which may load no application, need not import it
        return not any(getattr(h, "is_pipeline", False) for h in logging.getLogger().handlers)


class Logger(_Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's error log; our access log replaces its access log."""

    def setup(self, cfg: Any) -> None:
        """Let lines rise to the root logger, where the pipeline takes them if there is one."""
        super().setup(cfg)
        if cfg.errorlog == "-":
            for handler in self.error_log.handlers:
                handler.addFilter(_WhereNoPipelineIs())
        self.error_log.propagate = True


logger_class = Logger


def post_worker_init(worker: Any) -> None:
    """Start threads and connections in this worker."""
    from proletto_otel.setup.telemetry import current_telemetry

    telemetry = current_telemetry()
    if telemetry is not None:
        telemetry.activate()


def worker_exit(server: Any, worker: Any) -> None:
    """Flush within the shutdown budget."""
    from proletto_otel.setup.telemetry import current_telemetry

    telemetry = current_telemetry()
    if telemetry is not None:
        telemetry.shutdown()
