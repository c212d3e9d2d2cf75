"""Loading the user's application, to look at what it registered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from proletto_otel.core.config import Config


def load_application(app: str) -> Config:
    """Import `module:app` or `module:create_app()`; what its telemetry would send stays here.

    Raises:
        click.ClickException: it cannot be loaded, or has no telemetry.
    """
    from flask.cli import ScriptInfo

    for signal in ("TRACES", "METRICS", "LOGS"):
        os.environ[f"OTEL_{signal}_EXPORTER"] = "none"
    try:
        ScriptInfo(app_import_path=app).load_app()
    except click.ClickException:
        raise
    except (Exception, SystemExit) as error:
        raise click.ClickException(f"{app} could not be loaded: {error!r}") from error
    from proletto_otel.setup.telemetry import current_telemetry

    telemetry = current_telemetry()
    if telemetry is None:
        raise click.ClickException(f"{app} does not call setup_telemetry or init_app")
    return telemetry.config
