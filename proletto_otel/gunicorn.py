"""Optional gunicorn settings: `gunicorn -c python:proletto_otel.gunicorn shop:app`.

Telemetry starts in the worker as it boots, not with its first request, and gunicorn's own lines
go through the pipeline. Nothing depends on this file: without it both happen a little later.
"""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger as _Logger


class Logger(_Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's error log without handlers of its own; our access log replaces its access log."""

    def setup(self, cfg: Any) -> None:
        """Let lines rise to the root logger, where the pipeline takes them."""
        super().setup(cfg)
        if cfg.errorlog == "-":
            self.error_log.handlers.clear()
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
