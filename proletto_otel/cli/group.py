"""The commands of `python -m proletto_otel`.

A command is a file of this folder with a click command called `command`, and a row in `COMMANDS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

COMMANDS = {
    "demo": "Start the example shop with traffic, to look at everything.",
    "spool": "Send again what the collector refused.",
    "alert-rules": "Write the alert rules of an application for Grafana and Prometheus.",
    "doctor": "Prove that telemetry arrives, and say what to mend where it does not.",
    "stack": "Set up, check and start the stack: collector, Prometheus, Loki, Tempo, Grafana.",
}
"""Name of a command, also that of its file with `_` for `-`, and what it does."""


class LazyGroup(click.Group):
    """A group that imports a command only when it runs: `--help` and `--version` import none."""

    rows: Mapping[str, str] = COMMANDS

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in alphabetical order."""
        return sorted(self.rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of *cmd_name*; None for an unknown one."""
        if cmd_name not in self.rows:
            return None
        module = importlib.import_module(f"proletto_otel.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a file that cannot be read or written is said in one line."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the table itself, so that help needs no import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.rows[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proletto_otel", message="proletto_otel %(version)s")
def cli() -> None:
    """Error logging and monitoring for Flask on OpenTelemetry."""
