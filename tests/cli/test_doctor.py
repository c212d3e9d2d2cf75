"""`doctor`: right verdict, right remedy, no traceback, on a stack that is well or broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.scripted_stack import PROXY, ScriptedStack
from tests.servers import free_port
from tests.waiting import PATIENCE_S

DOUBLED = """
import logging
from flask import Flask
from proletto_otel import setup_telemetry
app = Flask(__name__)
setup_telemetry(app)
for _ in range(2):
    logging.getLogger().addHandler(logging.FileHandler("app.log", delay=True))
"""
HEAD = """
import logging, os, threading
from flask import Flask
from proletto_otel import setup_telemetry
app = Flask(__name__)
setup_telemetry(app)
"""
PRINTS_TWICE = f"""{HEAD}
logging.getLogger("shop.stock").addHandler(logging.StreamHandler())
logging.getLogger().addHandler(logging.StreamHandler())
"""
STARTS_A_THREAD = f"""{HEAD}
threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()
"""
SETS_LATE = f"""{HEAD}
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
_OpenTelemetrySemanticConventionStability._initialize()
os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "http/dup"
"""
Break = Callable[[ScriptedStack, Path, dict[str, str]], "list[str] | None"]


@pytest.fixture
def stack() -> Iterator[ScriptedStack]:
    """All parts answer."""
    made = ScriptedStack()
    yield made
    made.close()


def run(stack: ScriptedStack, folder: Path, broken: Break | None = None) -> dict[str, Any]:
    """Run `doctor --json`; the verdicts by name, and the exit status as `exit`."""
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("SLACK")},
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url, "LOG_DIR": str(folder / "logs"),
        "PROLETTO_STRICT": "0",
    }  # fmt: skip
    words = ["--grafana", stack.url, "--wait", "1", "--json", "--stack", str(folder)]
    words += (broken(stack, folder, env) if broken else None) or []
    command = [sys.executable, "-m", "proletto_otel", "doctor", *words]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    found = json.loads(done.stdout)
    return {**{verdict["name"]: verdict for verdict in found}, "exit": done.returncode}


def test_all_is_well(stack: ScriptedStack, tmp_path: Path) -> None:
    """Exit status 0, and each verdict has its time."""
    found = run(stack, tmp_path)

    assert 0 == found.pop("exit"), found
    assert {"well"} == {verdict["state"] for verdict in found.values()}
    assert {"collector", "request", "metrics", "exemplar", "log line", "trace"} <= set(found)
    assert all(verdict["seconds"] >= 0 for verdict in found.values())


@pytest.mark.parametrize("place", [".env", "environment"])
def test_password_opens_grafana(stack: ScriptedStack, tmp_path: Path, place: str) -> None:
    """It is read where the stack has it, or from the environment."""
    stack.password = "very-secret"

    def known(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> None:
        if place == "environment":
            env["GRAFANA_ADMIN_PASSWORD"] = stack.password
        else:
            (folder / ".env").write_text(f"GRAFANA_ADMIN_PASSWORD={stack.password}\n")

    assert 0 == run(stack, tmp_path, known)["exit"]
    (tmp_path / ".env").unlink(missing_ok=True)
    assert "answers 401" in run(stack, tmp_path)["Grafana"]["said"]


def test_application_that_runs_is_asked(stack: ScriptedStack, tmp_path: Path) -> None:
    """With --app-url the marked request goes through the user's own application."""
    stack.taken |= {"metrics", "traces", "logs"}
    found = run(stack, tmp_path, lambda *_: ["--app-url", f"{stack.url}/app"])

    assert 0 == found["exit"], found
    assert found["request"]["said"].startswith(f"200 from {stack.url}/app, request ID doctor-")


def test_test_alert_arrives(stack: ScriptedStack, tmp_path: Path) -> None:
    """One message to the webhook."""

    def hook(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
        env["SLACK_WEBHOOK_URL"] = f"{stack.url}/hook"
        env["PROLETTO_SLACK_ALLOW_INSECURE"] = "1"
        return ["--test-alert"]

    found = run(stack, tmp_path, hook)

    assert "well" == found["test alert"]["state"]
    assert "Grafana sent it by slack" == found["test alert of Grafana"]["said"]
    assert [
        "Test of proletto_otel doctor: alerts of this service arrive here.",
        "Test of proletto_otel doctor: Grafana's alerts arrive here.",
    ] == [message["text"] for message in stack.posted]


def test_grafana_alone_may_tell_people(stack: ScriptedStack, tmp_path: Path) -> None:
    """An application that leaves alerts to Grafana needs no receiver of its own."""

    def left(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
        env["PROLETTO_ALERTS"] = "grafana"
        return ["--test-alert"]

    found = run(stack, tmp_path, left)

    assert 0 == found["exit"], found
    assert "PROLETTO_ALERTS=grafana" in found["test alert"]["said"]
    assert 1 == len(stack.posted)


def test_application_that_is_well(stack: ScriptedStack, tmp_path: Path) -> None:
    """No handler is doubled, preload would be safe, and nothing was set too late."""
    found = run(stack, tmp_path, application(HEAD))

    looked_at = ("application", "preload", "conventions")
    assert {"well"} == {found[name]["state"] for name in looked_at}, found
    assert "starts no thread, so it is safe" in found["preload"]["said"]


OWN_ENDPOINT = """
from flask import Flask
from proletto_otel import setup_telemetry
print("loading the shop")
app = Flask(__name__)
setup_telemetry(app, otlp_endpoint={url!r}, otlp_headers={{"x-tenant": "shop"}})
"""


def test_application_with_an_endpoint_of_its_own(stack: ScriptedStack, tmp_path: Path) -> None:
    """Arguments of `setup_telemetry` say where telemetry goes, as they do when it is served."""

    def change(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
        (folder / "own.py").write_text(OWN_ENDPOINT.format(url=stack.url))
        return ["--app", "own:app"]

    found = run(stack, tmp_path, change)

    assert 0 == found.pop("exit"), found
    assert {"well"} == {verdict["state"] for verdict in found.values()}
    assert {"shop"} == stack.tenants - {None}
    assert None not in stack.tenants


def test_signal_that_is_off_is_not_missed(stack: ScriptedStack, tmp_path: Path) -> None:
    """Who sends no logs on purpose has nothing to mend."""
    found = run(stack, tmp_path, setting(OTEL_LOGS_EXPORTER="none"))

    assert 0 == found["exit"], found
    assert "skipped" == found["log line"]["state"]
    assert "OTEL_LOGS_EXPORTER=none: not sent" == found["log line"]["said"]


def setting(**values: str) -> Break:
    """Set variables, with {url} and {free} filled in."""

    def change(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> None:
        for name, value in values.items():
            env[name] = value.format(url=stack.url, free=free_port(), folder=folder)

    return change


def status(path: str, code: int) -> Break:
    """Let a part answer an error."""

    def change(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> None:
        stack.broken[path] = code

    return change


def answer(path: str, value: Any) -> Break:
    """Let a part answer something else."""

    def change(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> None:
        stack.answers[path] = value

    return change


def clock(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> None:
    """The collector's machine is an hour ahead."""
    stack.clock_off_s = 3600


def no_webhook(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
    """Nobody gets the alerts."""
    return ["--test-alert"]


def dead_webhook(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
    """The webhook was removed."""
    stack.broken["/hook"] = 404
    env["ALERT_WEBHOOK_URL"] = f"{stack.url}/hook"
    env["PROLETTO_SLACK_ALLOW_INSECURE"] = "1"
    env["SLACK_WEBHOOK_URL"] = f"{stack.url}/hook"
    return ["--test-alert"]


def contact(kind: str, address: str) -> Break:
    """Let Grafana's contact point be another one."""

    def change(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
        stack.contact.kind = kind
        stack.contact.address = address.format(url=stack.url, free=free_port())
        return ["--test-alert"]

    return change


def grafana_without_contact(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
    """The file of the contact point was not read."""
    stack.answers["/api/v1/provisioning/contact-points"] = []
    return ["--test-alert"]


def user_may_not_test(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
    """The login belongs to somebody who may only look."""
    stack.user = "viewer"
    stack.broken["/api/alertmanager/grafana/config/api/v1/receivers/test"] = 403
    return ["--test-alert", "--user", "viewer"]


def folder_is_a_file(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> None:
    """A state directory that nobody can write, root included."""
    (folder / "state").write_text("")
    env["PROLETTO_STATE_DIR"] = str(folder / "state")


def doubled_handler(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
    """Each line would be written twice."""
    (folder / "doubled.py").write_text(DOUBLED)
    return ["--app", "doubled:app"]


def application(text: str, **files: str) -> Break:
    """An application of this text, with files beside it."""

    def change(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
        (folder / "own.py").write_text(text)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(content)
        return ["--app", "own:app"]

    return change


def no_mail_server(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
    """Nobody listens where mails go."""
    env |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(free_port())}
    env["ALERT_EMAIL_TO"] = "ops@example.org"
    return ["--test-alert"]


def mistyped(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> list[str]:
    """There is no such module."""
    return ["--app", "shpo:app"]


def uwsgi(stack: ScriptedStack, folder: Path, env: dict[str, str]) -> None:
    """Threads do not run under uWSGI unless asked for."""
    (folder / "uwsgi.ini").write_text("[uwsgi]\nmodule = shop:app\n")


BROKEN: dict[str, tuple[Break, str, str, str]] = {
    "collector down": (
        setting(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:{free}"),
        "collector", "does not answer", "docker-compose up -d otel-collector"),
    "wrong endpoint": (
        status("/v1/traces", 404), "collector", "that is no collector", "port 4318 for HTTP"),
    "collector that wants a login": (
        status("/v1/", 401), "collector", "wants another login", "OTEL_EXPORTER_OTLP_HEADERS"),
    "gRPC port": (
        setting(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:{free}/"),
        "collector", "does not answer", "port 4318 speaks HTTP, 4317 gRPC"),
    "clock off by an hour": (clock, "clock", "s slow", "timedatectl set-ntp true"),
    "Loki down": (status(f"{PROXY}loki", 502), "log line", "HTTP 502", "docker-compose ps loki"),
    "Prometheus without OTLP": (
        answer(f"{PROXY}prometheus/api/v1/query", {"data": {"result": []}}),
        "metrics", "nothing found", "--web.enable-otlp-receiver"),
    "exemplars off": (
        answer(f"{PROXY}prometheus/api/v1/query_exemplars", {"data": []}),
        "exemplar", "nothing found", "--enable-feature=exemplar-storage"),
    "Tempo down": (status(f"{PROXY}tempo", 502), "trace", "HTTP 502", "docker-compose ps tempo"),
    "wrong Grafana password": (
        status("/api/datasources", 401), "Grafana", "answers 401", "GRAFANA_ADMIN_PASSWORD"),
    "no dashboards": (
        answer("/api/search", []), "dashboards", "Grafana lacks proletto-errors", "stack check"),
    "a rule that cannot be evaluated": (
        answer("/api/prometheus/", {"data": {"groups": [{"rules": [
            {"name": "HighCpu", "health": "error", "lastError": "parse error"}]}]}}),
        "alert rules", "HighCpu: parse error", "correct its query"),
    "no webhook": (no_webhook, "test alert", "no webhook is configured", "SLACK_WEBHOOK_URL"),
    "webhook answers 404": (dead_webhook, "test alert", "answers 404", "make a new webhook"),
    "contact point none": (
        contact("webhook", "http://127.0.0.1:9/discard"), "test alert of Grafana",
        "Grafana tells nobody of alerts", "ALERT_CONTACT_POINT=slack-webhook"),
    "Grafana's webhook does not answer": (
        contact("slack", "http://127.0.0.1:{free}/gone"), "test alert of Grafana",
        "slack does not take the message: ", "correct SLACK_WEBHOOK_URL"),
    "Grafana's mail server down": (
        contact("email", "http://127.0.0.1:{free}/"), "test alert of Grafana",
        "email does not take the message: ", "GRAFANA_SMTP_ENABLED=true"),
    "Grafana without a contact point": (
        grafana_without_contact, "test alert of Grafana", "no contact point proletto",
        "stack check"),
    "a user who may not test": (
        user_may_not_test, "test alert of Grafana", "Grafana answers 403", "administrator"),
    "unwritable state directory": (
        folder_is_a_file, "folders", "cannot be written", "PROLETTO_STATE_DIR"),
    "a bad setting": (
        setting(OTEL_TRACES_SAMPLER_ARG="two"), "settings", "OTEL_TRACES_SAMPLER_ARG", "defaults"),
    "doubled handler": (doubled_handler, "application", "app.log: each line twice", "remove"),
    "doubled handler of a logger": (
        application(PRINTS_TWICE), "application", "the console: each line twice", "remove"),
    "an application that is not there": (
        mistyped, "application", "Could not import 'shpo'", "correct --app"),
    "an application that ends at import": (
        application("import sys\nsys.exit(3)\n"), "application", "SystemExit(3)", "must load"),
    "an application that sets nothing up": (
        application("from flask import Flask\napp = Flask(__name__)\n"), "application",
        "does not call setup_telemetry", "the application"),
    "preload with a thread": (
        application(STARTS_A_THREAD, gunicorn__conf__py="preload_app = True\n"),
        "preload", "starts poller: with preload no worker has it", "post_fork"),
    "conventions set too late": (
        application(SETS_LATE), "conventions", "after an instrumentation had read it",
        "where the process is started"),
    "mail server down": (no_mail_server, "test alert", "does not take the message", "SMTP_HOST"),
    "uWSGI without threads": (uwsgi, "uWSGI", "enable-threads", "enable-threads = true"),
    "an application without telemetry": (
        lambda stack, folder, env: ["--app-url", f"{stack.url}/api/health"],
        "request", "without our request ID", "setup_telemetry(app)"),
    "an application that is down": (
        lambda stack, folder, env: ["--app-url", f"http://127.0.0.1:{free_port()}/"],
        "request", "does not answer", "start the application"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_fault_is_named_with_its_remedy(name: str, stack: ScriptedStack, tmp_path: Path) -> None:
    """Exit status 1; the broken part is named, and so is what to do."""
    broken, check, problem, fix = BROKEN[name]
    found = run(stack, tmp_path, broken)

    assert 1 == found["exit"]
    assert "wrong" == found[check]["state"], found
    assert problem in found[check]["said"]
    assert fix in found[check]["fix"]


def test_one_cause_has_one_verdict(stack: ScriptedStack, tmp_path: Path) -> None:
    """What builds on a broken part is skipped, and says on which."""
    found = run(stack, tmp_path, status("/api/datasources", 401))
    wrong = [
        name for name, verdict in found.items() if verdict != 1 and verdict["state"] == "wrong"
    ]

    assert ["Grafana"] == wrong
    assert "needs: Grafana" == found["trace"]["said"]


def test_collector_that_is_down_is_one_verdict(stack: ScriptedStack, tmp_path: Path) -> None:
    """No request is sent through an application of our own to a collector that is not there."""
    found = run(stack, tmp_path, setting(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:{free}"))
    found.pop("exit")

    assert ["collector"] == [name for name, each in found.items() if each["state"] == "wrong"]
    assert "needs: collector" == found["request"]["said"]


def test_password_in_the_endpoint_is_not_shown(stack: ScriptedStack, tmp_path: Path) -> None:
    """An endpoint may hold a login."""
    found = run(stack, tmp_path, setting(OTEL_EXPORTER_OTLP_ENDPOINT="http://me:pa55@127.0.0.1:1"))

    assert "wrong" == found["collector"]["state"]
    assert "pa55" not in json.dumps(found)


def test_secrets_are_not_shown(stack: ScriptedStack, tmp_path: Path) -> None:
    """The password of .env is used, never printed."""
    (tmp_path / ".env").write_text("GRAFANA_ADMIN_PASSWORD=very-secret\n")
    found = run(stack, tmp_path, status("/api/datasources", 401))

    assert "very-secret" not in json.dumps(found)
