"""Error logging and monitoring for Flask on OpenTelemetry, switched on with one call.

`setup_telemetry(app)` is the front door; see `proletto_otel.setup.telemetry`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proletto_otel.core.context import background, bind, carry, unbind
    from proletto_otel.core.errors import ConfigError
    from proletto_otel.setup.telemetry import Telemetry, setup_telemetry

__all__ = [
    "ConfigError",
    "Telemetry",
    "background",
    "bind",
    "carry",
    "setup_telemetry",
    "unbind",
]

_HOMES = {
    "background": "proletto_otel.core.context",
    "bind": "proletto_otel.core.context",
    "carry": "proletto_otel.core.context",
    "unbind": "proletto_otel.core.context",
    "ConfigError": "proletto_otel.core.errors",
    "Telemetry": "proletto_otel.setup.telemetry",
    "setup_telemetry": "proletto_otel.setup.telemetry",
}


def __getattr__(name: str) -> Any:
    # the front door knows every room: it is opened by those who come in, not by a mere import
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
