"""`doctor`: send one marked request and find it again in every store; say what to mend.

The single checks live in `doctor_setup` (this machine) and `doctor_loop` (the stack).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import click

from proletto_otel.cli.doctor_verdict import Verdict, judge, skipped


@click.command(name="doctor")
@click.option("--app-url", help="An application that runs, to send the marked request to.")
@click.option("--app", help="An application to load and look at: shop:app.")
@click.option(
    "--grafana", default="http://127.0.0.1:3000", show_default=True, help="Grafana's address."
)
@click.option("--user", default="admin", show_default=True, help="Grafana's user.")
@click.option(
    "--stack", type=click.Path(file_okay=False, path_type=Path), default=".",
    help="Folder with the stack's .env, for Grafana's password (else GRAFANA_ADMIN_PASSWORD).",
)  # fmt: skip
@click.option("--test-alert", is_flag=True, help="Send a test message to the alert channels.")
@click.option("--wait", default=20.0, show_default=True, help="Seconds to look for the request.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    app_url: str | None, app: str | None, grafana: str, user: str, stack: Path,
    test_alert: bool, wait: float, as_json: bool,
) -> None:  # fmt: skip
    """Prove that telemetry arrives, and say what to mend where it does not.

    Without --app-url it sends the request through a small application of its own, with the
    settings of the environment. Exit status 0: all is well; 1: something is to be mended.
    """
    # Imported here: `--help` answers without the application's libraries.
    from proletto_otel.cli import doctor_loop, doctor_setup, doctor_stores

    setup = doctor_setup.checks(os.environ, app, test_alert)
    verdicts = [_shown(judge(name, check), as_json) for name, check in setup]
    stores = doctor_stores.Stores(grafana, user, _password(stack), wait)
    for name, check in doctor_loop.checks(os.environ, stores, app_url):
        verdicts.append(_shown(_unless_stopped(name, check, verdicts), as_json))
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
    wrong = sum(verdict.state == "wrong" for verdict in verdicts)
    if not as_json:
        click.echo(f"\n{wrong} to mend." if wrong else "\nAll is well.")
    raise SystemExit(1 if wrong else 0)


def _password(stack: Path) -> str:
    from proletto_otel.stack import env_file

    path = stack / ".env"
    found = env_file.parse(path.read_text()) if path.is_file() else {}
    return os.environ.get(env_file.PASSWORD) or found.get(env_file.PASSWORD, "")


def _unless_stopped(name: str, check: Callable[[], str], before: list[Verdict]) -> Verdict:
    """Judge, unless what it builds on is broken: one cause, one verdict."""
    from proletto_otel.cli.doctor_loop import BUILDS_ON

    states = {verdict.name: verdict.state for verdict in before}
    for needed in BUILDS_ON.get(name, ()):
        if states.get(needed) != "well":
            return skipped(name, f"needs: {needed}")
    return judge(name, check)


def _shown(verdict: Verdict, as_json: bool) -> Verdict:
    if not as_json:
        mark = {"well": "ok   ", "wrong": "WRONG", "skipped": "-    "}[verdict.state]
        click.echo(f"{mark} {verdict.name} ({verdict.seconds:.2f} s): {verdict.said}")
        if verdict.fix:
            click.echo(f"      mend: {verdict.fix}")
    return verdict
