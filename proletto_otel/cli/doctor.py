"""`doctor`: send one marked request and find it again in every store; say what to mend.

The single checks live in `doctor_setup` (this machine), `doctor_application` (the user's code),
`doctor_collector` and `doctor_loop` (the stack).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO

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
@click.option(
    "--test-alert",
    is_flag=True,
    help="Send a test alert to the application's receivers, and through Grafana to its own.",
)
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
    from proletto_otel.cli.doctor_deployment import Deployment

    deployment = Deployment.of(os.environ)
    stores = doctor_stores.Stores(grafana, user, _password(stack), wait)
    verdicts: list[Verdict] = []
    output = _standard_output_for_us() if as_json else sys.stdout
    # In this order: the application that the first ones load may have settings of its own.
    for name, check in chain(
        doctor_setup.checks(deployment, app, test_alert),
        doctor_loop.checks(deployment, stores, app_url, test_alert),
    ):
        needs = doctor_loop.builds_on(name, app_url)
        verdicts.append(_shown(_unless_stopped(name, check, needs, verdicts), as_json))
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in verdicts], indent=2), output)
        output.flush()
    wrong = sum(verdict.state == "wrong" for verdict in verdicts)
    if not as_json:
        click.echo(f"\n{wrong} to mend." if wrong else "\nAll is well.")
    raise SystemExit(1 if wrong else 0)


def _standard_output_for_us() -> IO[str]:
    """Standard output for JSON alone: what others print goes to standard error until the end.

    An application that was loaded prints when it likes, at exit too.
    """
    # The descriptor, because the console sink and child processes write to it, too.
    sys.stdout.flush()
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return ours


def _password(stack: Path) -> str:
    from proletto_otel.stack import env_file

    path = stack / ".env"
    found = env_file.parse(path.read_text()) if path.is_file() else {}
    return os.environ.get(env_file.PASSWORD) or found.get(env_file.PASSWORD, "")


def _unless_stopped(
    name: str, check: Callable[[], str], needs: Iterable[str], before: list[Verdict]
) -> Verdict:
    """Judge, unless what it builds on is broken: one cause, one verdict."""
    states = {verdict.name: verdict.state for verdict in before}
    for needed in needs:
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
