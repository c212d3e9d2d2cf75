"""`alert-rules`: what an application registered with `monitor`, as rules for the stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proletto_otel.cli.application import load_application

if TYPE_CHECKING:
    from proletto_otel.core.config import Config
    from proletto_otel.stack.pack import Pack

COMMAND = "python -m proletto_otel alert-rules"
BESIDE = (
    "grafana/provisioning/alerting/policies.yaml",
    "grafana/provisioning/alerting/templates.yaml",
    "grafana/contact-points/",
)
"""Files that the rules need; written only where there are none."""


@click.command(name="alert-rules")
@click.argument("app")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=".", show_default=True,
    help="The stack's folder.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; fail if a file is out of date.")
@click.option("--service", default="", help="Service name, if APP does not know its own here.")
def command(app: str, out: Path, check: bool, service: str) -> None:
    """Write the alert rules of APP (`shop:app`, `shop:create_app()`).

    Its thresholds, health checks and objectives replace the shipped ones for this service. Only
    the name of the service comes from the environment (OTEL_SERVICE_NAME, APP_NAME).
    """
    from proletto_otel.stack import generated

    config = load_application(app)
    pack = _pack(config, service)
    paths = generated.rule_paths(pack.name)
    # What was there is read first: Grafana deletes a rule only when a file says so.
    before = {path: (out / path).read_text() for path in paths if (out / path).exists()}
    made = generated.pack_files(
        pack, before, command=COMMAND, source="the thresholds", runbook=config.runbook_url
    )
    changed = {path: text for path, text in made.items() if before.get(path) != text}
    if check:
        for path in changed:
            click.echo(f"{path} is out of date", err=True)
        if not changed:
            click.echo(f"The {len(pack.rules)} rules for {pack.name} are up to date.")
        raise SystemExit(1 if changed else 0)
    for path, text in {**_missing(out), **changed}.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text)
    _say(pack, made)
    if not (out / "docker-compose.yml").exists():
        click.echo(f"There is no stack in {out}: `python -m proletto_otel stack init {out}`.")


def _pack(config: Config, service: str) -> Pack:
    from proletto_otel.alerts import defaults
    from proletto_otel.monitoring import monitor
    from proletto_otel.stack.pack import Registered, of_application

    checks = [(check.name, check.critical) for check in monitor.checks.values()]
    base = defaults.for_this_machine() if config.default_thresholds else []
    thresholds = defaults.in_force(monitor.thresholds.values(), base, checks)
    registered = Registered(
        service=service or config.service_name,
        thresholds=[(each, monitor.indicator(each.metric)) for each in thresholds],
        slos=monitor.get_slos(),
        tells_itself=config.alerts != "grafana",
    )
    return of_application(registered)


def _missing(out: Path) -> dict[str, str]:
    from proletto_otel.stack import shipped

    return {
        path: text
        for path, text in shipped.texts().items()
        if path.startswith(BESIDE) and not (out / path).exists()
    }


def _say(pack: Pack, made: dict[str, str]) -> None:
    paused = sum(rule.paused for rule in pack.rules)
    click.echo(f"{len(pack.rules)} rules for {pack.name}:")
    for path in made:
        click.echo(f"  {path}")
    if paused:
        click.echo(
            f"{paused} of them are paused: the application tells people itself "
            "(PROLETTO_ALERTS=grafana leaves it to Grafana)."
        )
    click.echo("Prometheus reads them by itself; Grafana after `docker-compose restart grafana`.")
