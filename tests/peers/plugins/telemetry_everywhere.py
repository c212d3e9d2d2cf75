"""pytest plugin: every Flask application of a test suite gets telemetry the moment it is made."""

from __future__ import annotations

from typing import Any

import flask

from proletto_otel import setup_telemetry

_flask_init = flask.Flask.__init__


def _init_with_telemetry(app: flask.Flask, *args: Any, **kwargs: Any) -> None:
    _flask_init(app, *args, **kwargs)
    setup_telemetry(app)


flask.Flask.__init__ = _init_with_telemetry  # type: ignore[method-assign]
