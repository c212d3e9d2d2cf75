"""`spool`: look after telemetry that waits on disk."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.group(name="spool")
def command() -> None:
    """Telemetry that waits on disk."""


@command.command(short_help="Send again what was set aside.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The spool; by default that of this environment's service.",
)
def resend(directory: Path | None) -> None:
    """Send again what the collector refused and was set aside; a running app picks it up."""
    from proletto_otel.export.spool.resend import resend_rejected

    folder = directory or _of_this_service()
    try:
        result = resend_rejected(folder)
    except OSError as error:
        raise click.ClickException(f"{folder}: {error.strerror or error}") from error
    for signal, records in sorted(result.records.items()):
        click.echo(f"{records} records of {signal} wait to be sent again.")
    if not result.records:
        click.echo(f"Nothing to send again in {folder}.")
    if result.left:
        click.echo(
            f"{result.left} files were left in {folder / 'rejected'}: not whole, or too old."
        )


def _of_this_service() -> Path:
    from proletto_otel.core import config
    from proletto_otel.state import directory

    settings, _ = config.load({}, {}, os.environ)
    base = Path(settings.state_dir or Path(settings.log_dir, directory.DEFAULT_NAME))
    # Found and not made: `directory.prepare` would make a folder for a misspelt service.
    folder = base / directory.folder_of(settings.service_name) / "spool"
    if not folder.is_dir():
        raise click.ClickException(
            f"{folder} is not there; set LOG_DIR, PROLETTO_STATE_DIR and the service's name as the "
            "application has them, or use --directory"
        )
    return folder
