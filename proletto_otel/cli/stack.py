"""`stack`: write the stack's files, check them, start them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import click

from proletto_otel.stack import env_file, shipped

FOLDER = click.Path(file_okay=False, path_type=Path)
TOKEN_BYTES = 18
"""24 characters that need no quoting anywhere."""


@click.group(name="stack")
def command() -> None:
    """The stack: collector, Prometheus, Loki, Tempo and Grafana by docker-compose."""


@command.command(short_help="Write the stack's files.")
@click.argument("folder", type=FOLDER)
@click.option("--force", is_flag=True, help="Replace files that were changed; .env stays.")
def init(folder: Path, force: bool) -> None:
    """Write the stack's files into FOLDER, with a password for Grafana in its .env."""
    changed = [
        path
        for path, text in shipped.texts().items()
        if (folder / path).exists() and (folder / path).read_text(errors="replace") != text
    ]
    if changed and not force:
        raise click.ClickException(
            f"{folder} holds files of other content ({', '.join(changed[:5])}); "
            "`--force` replaces them, .env stays as it is"
        )
    for path, text in shipped.texts().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    _set_password(folder)
    click.echo(f"The stack is in {folder}. Start it:\n  cd {folder} && docker-compose up -d")


@command.command()
@click.argument("folder", type=FOLDER, default=".")
def password(folder: Path) -> None:
    """Give FOLDER's .env a password for Grafana, unless it has one."""
    if not {".env", ".env.example"} & {path.name for path in folder.glob(".env*")}:
        again = f"`python -m proletto_otel stack init {folder}` writes one"
        raise click.ClickException(f"there is no stack in {folder}; {again}")
    _set_password(folder)


def _set_password(folder: Path) -> None:
    path, example = folder / ".env", folder / ".env.example"
    # The example has every variable with its explanation; only the password is new.
    source = path if path.exists() else example
    before = source.read_text() if source.exists() else ""
    if env_file.parse(before).get(env_file.PASSWORD):
        click.echo(f"{path} has a password already.")
        return
    text = env_file.with_password(before, secrets.token_urlsafe(TOKEN_BYTES))
    # The file holds secrets: nobody else may read it, from its first byte on.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    path.chmod(0o600)
    click.echo(f"Grafana's password is in {path} ({env_file.PASSWORD}); the user is `admin`.")


def compose_program() -> list[str] | None:
    """`docker-compose` or `docker compose`, whichever there is."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    return ["docker", "compose"] if shutil.which("docker") else None


@command.command(short_help="Say what is wrong with the files.")
@click.argument("folder", type=FOLDER, default=".")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(folder: Path, as_json: bool) -> None:
    """Read FOLDER's files as their servers would, and explain what is wrong."""
    from proletto_otel.stack.checks.all import findings
    from proletto_otel.stack.checks.finding import ERROR

    found = findings(shipped.read(folder), shipped.texts(), str(folder))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        for each in found:
            click.echo(f"{each.level}: {each.path}: {each.problem}\n  mend: {each.fix}")
        click.echo(f"{folder}: {len(found)} findings." if found else f"{folder} is sound.")
    raise SystemExit(1 if any(each.level == ERROR for each in found) else 0)


@command.command(short_help="Check, start, and say what to open.")
@click.argument("folder", type=FOLDER, default=".")
@click.option("--profile", multiple=True, help="demo or hostmetrics.")
def up(folder: Path, profile: tuple[str, ...]) -> None:
    """Check FOLDER, start the stack in the background, and say what to open."""
    from proletto_otel.stack.checks.all import findings
    from proletto_otel.stack.checks.finding import ERROR

    # Checked first: Grafana ends at start for one bad file, and says so in its log alone.
    found = findings(shipped.read(folder), shipped.texts(), str(folder))
    if errors := [f"{f.path}: {f.problem}; {f.fix}" for f in found if f.level == ERROR]:
        raise click.ClickException("\n".join(errors))
    program = compose_program()
    if program is None:
        raise click.ClickException(
            "docker-compose is not installed: https://docs.docker.com/compose"
        )
    profiles = [word for name in profile for word in ("--profile", name)]
    # With the terminal's output: pulling the images takes minutes, and people should see it.
    done = subprocess.run([*program, *profiles, "up", "-d"], cwd=folder)
    if done.returncode:
        words = " ".join(program)
        click.echo(f"{words} failed (see above); does `docker info` reach an engine?", err=True)
        raise SystemExit(done.returncode)
    values = env_file.parse((folder / ".env").read_text())
    user = values.get("GRAFANA_ADMIN_USER") or "admin"
    click.echo(
        f"Grafana      http://127.0.0.1:{values.get('GRAFANA_PORT') or 3000}  "
        f"({user}, {env_file.PASSWORD} in {folder / '.env'})\n"
        f"Applications OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:"
        f"{values.get('OTLP_HTTP_PORT') or 4318}\n"
        "Does it work python -m proletto_otel doctor"
    )
