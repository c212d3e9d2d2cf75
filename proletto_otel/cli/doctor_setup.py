"""What `doctor` looks at on this machine: settings, versions, folders, receivers of alerts.

What it looks at in a loaded application lives in `doctor_application`.
"""

from __future__ import annotations

import json
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from proletto_otel.cli import doctor_application
from proletto_otel.cli.doctor_deployment import Deployment
from proletto_otel.cli.doctor_verdict import WrongError
from proletto_otel.core.config import Config

Check = tuple[str, Callable[[], str]]
UWSGI_FILES = ("uwsgi.ini", "uwsgi.yaml", "uwsgi.yml")
TIMEOUT_S = 5.0


def checks(deployment: Deployment, app: str | None, test_alert: bool) -> Iterator[Check]:
    """The checks in their order."""
    yield "settings", lambda: settings_are_understood(deployment.warnings)
    yield "versions", versions_fit
    if app:
        yield from doctor_application.checks(app, Path.cwd(), deployment)
    yield "folders", lambda: folders_can_be_written(deployment.config)
    yield "uWSGI", lambda: uwsgi_runs_threads(Path.cwd(), deployment.environ)
    if test_alert:
        yield "test alert", lambda: channels_answer(deployment.config)


def settings_are_understood(warnings: list[str]) -> str:
    """Every variable of the environment is understood."""
    if warnings:
        raise WrongError("; ".join(warnings), "correct the variables named; the defaults hold now")
    return "every variable is understood"


def versions_fit() -> str:
    """The OpenTelemetry packages are of one release."""
    found = {}
    for name in ("opentelemetry-api", "opentelemetry-sdk"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            fix = "pip install --force-reinstall proletto_otel"
            raise WrongError(f"{name} is not installed", fix) from None
    if len(set(found.values())) > 1:
        shown = ", ".join(f"{name} {number}" for name, number in found.items())
        newest = found["opentelemetry-sdk"]
        fix = f"pip install 'opentelemetry-api=={newest}' 'opentelemetry-sdk=={newest}'"
        raise WrongError(f"{shown} do not fit together", fix)
    return f"OpenTelemetry {found['opentelemetry-sdk']}"


def folders_can_be_written(config: Config) -> str:
    """The folders for logs and state can be written."""
    log_dir = Path(config.log_dir)
    state_dir = Path(config.state_dir) if config.state_dir else log_dir / ".state"
    for variable, folder in (("LOG_DIR", log_dir), ("PROLETTO_STATE_DIR", state_dir)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Written, because a mode says nothing of ACLs, quotas and read-only mounts.
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            problem = f"{variable}={folder} cannot be written: {error.strerror}"
            fix = f"give the service's user the folder (chown), or set {variable} to another one"
            raise WrongError(problem, fix) from error
    return f"{log_dir} and {state_dir} can be written"


def uwsgi_runs_threads(folder: Path, environ: Mapping[str, str]) -> str:
    """uWSGI, if it is used, runs threads."""
    if environ.get("UWSGI_ENABLE_THREADS"):
        return "threads are on"
    for name in UWSGI_FILES:
        path = folder / name
        if path.is_file() and not re.search(
            r"(?m)^\s*(enable-threads|threads)\s*[:=]", path.read_text(errors="replace")
        ):
            problem = f"{name} has no enable-threads: telemetry's threads do not run"
            raise WrongError(problem, f"add `enable-threads = true` to {name}")
    return "not used, or with threads"


def channels_answer(config: Config) -> str:
    """A test message reaches every webhook and the mail server."""
    text = "Test of proletto_otel doctor: alerts of this service arrive here."
    done = []
    if url := config.slack_webhook_url.reveal():
        _post("SLACK_WEBHOOK_URL", url, {"text": text})
        done.append("Slack")
    if url := config.alert_webhook_url.reveal():
        _post("ALERT_WEBHOOK_URL", url, {"test": True, "title": text})
        done.append("webhook")
    if config.smtp_host and config.alert_email_to:
        _mail(config, text)
        done.append("email")
    if not done and config.alerts == "grafana":
        return "Grafana alone tells people (PROLETTO_ALERTS=grafana)"
    if not done:
        fix = "set SLACK_WEBHOOK_URL, ALERT_WEBHOOK_URL, or SMTP_HOST and ALERT_EMAIL_TO"
        raise WrongError("no webhook is configured, and no email: alerts go to the log alone", fix)
    return f"sent to {', '.join(done)}"


def _mail(config: Config, text: str) -> None:
    from proletto_otel.notify.channel import Rejected
    from proletto_otel.notify.email.smtp import Mail, Smtp

    server = f"SMTP_HOST={config.smtp_host}"
    try:
        Smtp(Mail.of(config)).send("Test of proletto_otel doctor", text, config.alert_email_to)
    except Rejected as error:
        fix = "correct ALERT_EMAIL_TO and ALERT_EMAIL_FROM: the server takes neither for good"
        raise WrongError(f"{server} refuses the message: {error}", fix) from error
    except OSError as error:
        fix = "correct SMTP_HOST, SMTP_PORT and the login, or let this host reach the server"
        raise WrongError(f"{server} does not take the message: {error}", fix) from error


def _post(variable: str, url: str, body: Mapping[str, Any]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        fix = f"make a new webhook and set {variable}: this one was removed or is mistyped"
        raise WrongError(f"{variable} answers {error.code}", fix) from error
    except (OSError, ValueError) as error:
        fix = f"correct {variable}, or let this host reach it (proxy, firewall)"
        reason = str(getattr(error, "reason", error))
        raise WrongError(f"{variable} does not answer: {reason}", fix) from error
