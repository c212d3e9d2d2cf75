"""`init_app(app, db=db)`: monitoring for a Flask application, as its documentation writes it.

The same as `setup_telemetry(app, db=db)`; calling both is fine. The routes live in
`web.routes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask

from proletto_otel.setup.telemetry import Telemetry, setup_telemetry
from proletto_otel.web.own_pages import MonitoringPage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from proletto_otel.setup.settings import Settings

__all__ = ["MonitoringPage", "init_app"]


def init_app(app: Flask, db: Any = None, **settings: Unpack[Settings]) -> Telemetry:
    """Register monitoring routes, request tracking and health endpoints on *app*.

    Args:
        app: The application.
        db: A Flask-SQLAlchemy object, an SQLAlchemy engine or a URL: its health is checked and
            errors are stored in its table `error_logs`.
        settings: As for `setup_telemetry`.

    Raises:
        ConfigError: for an argument that does not fit.
    """
    return setup_telemetry(app, db=db, **settings)
