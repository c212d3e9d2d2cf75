"""Error logging and monitoring for Flask on OpenTelemetry, switched on with one call.

`setup_telemetry(app)` is where to begin. Loggers and decorators are in `error_logging`, health
checks and thresholds in `monitoring`, what tests need in `testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proletto_otel.core.context import background, bind, carry, unbind
    from proletto_otel.core.errors import ConfigError
    from proletto_otel.setup.telemetry import Telemetry, setup_telemetry

__version__: str

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
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    # set-up imports every room: only those who use it pay for that, not everybody who imports us
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__", "__doc__", "__name__", "__path__"]
