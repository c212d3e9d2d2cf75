"""What `doctor` looks at: the settings of the environment, then those of the loaded application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proletto_otel.core import config as settings
from proletto_otel.core.config import Config

SIGNALS = ("traces", "metrics", "logs")


@dataclass(slots=True)
class Deployment:
    """The environment and what it means."""

    environ: Mapping[str, str]
    config: Config
    """That of the application, once it is loaded: it may have arguments of its own."""

    warnings: list[str]
    """What does not fit in the environment."""

    off: Mapping[str, str]
    """Signal that is not sent -> the variable that says so."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Deployment:
        """Read the settings of the environment."""
        config, warnings = settings.load({}, {}, environ)
        if config.sdk_disabled:
            off = dict.fromkeys(SIGNALS, "OTEL_SDK_DISABLED")
        else:
            off = {
                signal: f"OTEL_{signal.upper()}_EXPORTER=none"
                for signal in SIGNALS
                if getattr(config, f"{signal}_exporter") == "none"
            }
        # A copy: loading the application changes the environment of this process.
        return cls(dict(environ), config, warnings, off)

    def own_transport(self) -> dict[str, Any]:
        """Where the application sends by arguments of its own, as `setup_telemetry` takes it."""
        chosen = {}
        for name, origin in self.config.origins.items():
            if name.startswith("otlp_") and not origin.startswith(settings.ENVIRONMENT):
                value = getattr(self.config, name)
                secrets = isinstance(value, dict)
                chosen[name] = {k: v.reveal() for k, v in value.items()} if secrets else value
        return chosen
