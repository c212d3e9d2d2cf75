"""`stack check`: each rule of the provisioning files, broken on purpose once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from proletto_otel.stack import shipped
from proletto_otel.stack.checks.all import findings
from proletto_otel.stack.checks.finding import ERROR, WARNING

ENV = "GRAFANA_ADMIN_PASSWORD=secret\n"
RULES = "grafana/provisioning/alerting/rules-default.yaml"
POLICIES = "grafana/provisioning/alerting/policies.yaml"
SOURCES = "grafana/provisioning/datasources/datasources.yaml"
SLACK = "grafana/contact-points/slack-webhook.yaml"
HOME = "grafana/dashboards/home.json"
SLO = "grafana/dashboards/slo.json"
SHIPPED = {**shipped.texts(), ".env": ENV}


def swap(old: str, new: str) -> Callable[[str], str]:
    """Replace the first *old*."""

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


def env(*lines: str) -> Callable[[str], str]:
    """Add lines to .env."""
    return lambda text: text + "\n".join(lines) + "\n"


BROKEN = {
    # --- .env ----------------------------------------------------------------------------------
    "no password": (".env", lambda _: "", "GRAFANA_ADMIN_PASSWORD is empty"),
    "a password that compose eats": (".env", lambda _: "GRAFANA_ADMIN_PASSWORD=a$b\n", "has a `$`"),
    "a mistyped variable": (".env", env("LOG_DAYS=3"), "nothing reads LOG_DAYS"),
    "a mistyped contact point": (".env", env("ALERT_CONTACT_POINT=slack"), "does not exist"),
    "slack without a webhook": (
        ".env", env("ALERT_CONTACT_POINT=slack-webhook"), "needs SLACK_WEBHOOK_URL"),
    "slack with an http webhook": (
        ".env", env("ALERT_CONTACT_POINT=slack-webhook", "SLACK_WEBHOOK_URL=http://x"),
        "SLACK_WEBHOOK_URL does not look right"),
    "a bot without a channel": (
        ".env", env("ALERT_CONTACT_POINT=slack-bot", "SLACK_BOT_TOKEN=xoxb-1"),
        "needs SLACK_CHANNEL_ID"),
    "mail without a server": (
        ".env", env("ALERT_CONTACT_POINT=email", "ALERT_EMAIL_TO=a@b.example"), "needs SMTP_HOST"),
    "a receiver without a domain": (
        ".env", env("ALERT_CONTACT_POINT=email", "ALERT_EMAIL_TO=ops@mail.example,ops@localhost"),
        "ALERT_EMAIL_TO does not look right"),
    "a sender for whom Grafana does not start": (
        ".env", env("ALERT_EMAIL_FROM=grafana@localhost"), "ALERT_EMAIL_FROM=grafana@localhost"),
    "days that are no number": (".env", env("LOGS_DAYS=14d"), "LOGS_DAYS=14d does not fit"),
    "a size without a unit": (".env", env("METRICS_MAX_SIZE=5"), "METRICS_MAX_SIZE=5"),
    "a mistyped profile": (
        ".env", env("COMPOSE_PROFILES=demo,tail_sampling"), "`tail_sampling` is no profile"),
    "no port": (".env", env("GRAFANA_PORT=http"), "GRAFANA_PORT=http is no port"),
    "a port twice": (
        ".env", env("OTLP_GRPC_PORT=4318", "OTLP_HTTP_PORT=4318"), "are the same port"),
    "another version": (".env", env("LOKI_VERSION=2.9.0"), "is not the tested"),
    # --- files ---------------------------------------------------------------------------------
    "broken yaml": ("loki/loki.yaml", lambda text: text + "\n  - {", "line "),
    "a key twice": (RULES, swap("apiVersion: 1", "apiVersion: 1\napiVersion: 1"), "stands twice"),
    "broken json": (HOME, lambda text: text[:-3], "Expecting"),
    "a public port": (
        "docker-compose.yml", swap("127.0.0.1:${GRAFANA_PORT", "${GRAFANA_PORT"), "is published"),
    # --- rules ---------------------------------------------------------------------------------
    "no apiVersion": (RULES, swap("apiVersion: 1\n", ""), "`apiVersion: 1` is missing"),
    "an odd interval": (RULES, swap("interval: 1m", "interval: 15s"), "the interval 15s"),
    "a group without a folder": (RULES, swap("  folder: Proletto\n", ""), "has no folder"),
    "a long uid": (RULES, swap("uid: pr-", "uid: " + "x" * 41), "has the uid"),
    "a uid twice": (
        RULES, lambda text: text.replace("pr-97ca0a9a851a", "pr-70680da0f1b1"), "has the uid of"),
    "a mistyped state": (RULES, swap("noDataState: OK", "noDataState: Ok"), "noDataState: Ok"),
    "a mistyped key": (
        RULES, swap("keepFiringFor", "keep_firing_for"), "`keep_firing_for`, which Grafana"),
    "a duration that is none": (RULES, swap("for: 15m", "for: often"), "for: often"),
    "a dollar in a label": (
        RULES, swap("source: proletto", "source: $labels.x"), "replaces the `$`"),
    "a panel without a dashboard": (
        RULES, lambda text: "\n".join(
            line for line in text.splitlines() if "__dashboardUid__: proletto-slo" not in line),
        "without the other one"),
    "a panel that is not there": (
        RULES, swap("__dashboardUid__: proletto-slo", "__dashboardUid__: other"),
        "links to a panel that is not there"),
    "a condition that is no query": (RULES, swap("condition: C", "condition: B"), "is no query"),
    "an unknown data source": (
        RULES, swap("datasourceUid: prometheus", "datasourceUid: Prom"), "the data source 'Prom'"),
    "a query without a time range": (
        RULES, swap("        from: 600\n", "        from: ten\n"), "has no time range"),
    "an expression of an unknown query": (
        RULES, swap("is_number($A) && $A > 90", "is_number($A) && $D > 90"), "asks for D"),
    # --- contact points, policies, data sources, dashboards -----------------------------------
    "slack without an address": (
        SLACK, swap("url: ${SLACK_WEBHOOK_URL}", "recipient: x"), "does not say where in Slack"),
    "a receiver without a uid": (SLACK, swap("uid: proletto-contact", "name: x"), "has no uid"),
    "an unknown receiver": (POLICIES, swap("receiver: proletto\n", "receiver: me\n"), "'me'"),
    "a matcher of the wrong kind": (POLICIES, swap('"="', '"=="'), "does not fit"),
    "matchers at the root": (
        POLICIES, swap("    group_wait: 30s", '    matchers: ["a=b"]\n    group_wait: 30s'),
        "the root policy has matchers"),
    "a data source twice": (SOURCES, swap("uid: loki", "uid: tempo"), "have the uid 'tempo'"),
    "a data source of another name": (SOURCES, swap("uid: loki", "uid: l"), "the uid 'loki'"),
    "two defaults": (
        SOURCES, swap("uid: loki", "uid: loki\n    isDefault: true"), "are the default"),
    "a dollar in a data source": (
        SOURCES, swap("url: $${__value.raw}", "url: ${__value.raw}"), "replaces the `$`"),
    "a dashboard twice": (
        SLO, swap('"uid": "proletto-slo"', '"uid": "proletto-home"'), "has the same uid"),
    "a dashboard with an id": (HOME, swap('"id": null', '"id": 7'), "an id of another Grafana"),
}  # fmt: skip


def said(texts: dict[str, str]) -> list[str]:
    """The findings as lines."""
    return [f"{found.path}: {found.problem}" for found in findings(texts, shipped.texts())]


def test_shipped_files_are_sound() -> None:
    """With a password nothing is found."""
    assert [] == said(SHIPPED)


@pytest.mark.parametrize("name", BROKEN)
def test_fault_is_found(name: str) -> None:
    """The finding names the file and says what is wrong; there is always a way to mend it."""
    path, change, expected = BROKEN[name]
    texts = {**SHIPPED, path: change(SHIPPED[path])}

    assert [line for line in said(texts) if line.startswith(f"{path}: ") and expected in line]
    assert all(found.fix for found in findings(texts, shipped.texts()))


@pytest.mark.parametrize("path", sorted(shipped.texts()))
def test_missing_file_is_found(path: str) -> None:
    """docker-compose would make an empty folder of it."""
    texts = {name: text for name, text in SHIPPED.items() if name != path}

    assert f"{path}: it is missing" in said(texts)


@pytest.mark.parametrize(
    ("path", "level"),
    [
        ("loki/loki.yaml", ERROR), ("grafana/dashboards/home.json", ERROR),
        ("docker-compose.yml", ERROR), ("collector/all-traces.yaml", ERROR),
        ("collector/tail-sampling.yaml", ERROR), ("collector/sampler.yaml", WARNING),
        ("kubernetes/loki.yaml", WARNING),
        ("docker-compose.scale.yml", WARNING), ("loki/loki-s3.yaml", WARNING),
        ("grafana/contact-points/email.yaml", WARNING), ("demo-image/Dockerfile", WARNING),
    ],
)  # fmt: skip
def test_file_that_no_container_reads_stops_nothing(path: str, level: str) -> None:
    """Who deletes the manifests of Kubernetes may still start the stack."""
    texts = {name: text for name, text in SHIPPED.items() if name != path}
    found = [f for f in findings(texts, shipped.texts()) if f.problem == "it is missing"]

    assert [(path, level)] == [(each.path, each.level) for each in found]


def test_file_that_env_picks_is_needed() -> None:
    """The contact point of .env is mounted, whichever it is."""
    path = "grafana/contact-points/slack-bot.yaml"
    texts = {name: text for name, text in SHIPPED.items() if name != path}
    texts[".env"] += "ALERT_CONTACT_POINT=slack-bot\n"

    assert [ERROR] == [f.level for f in findings(texts, shipped.texts()) if f.path == path]


def test_empty_folder_is_one_finding() -> None:
    """No stack at all is not fifty missing files; the folder is in the command that makes one."""
    (found,) = findings({}, shipped.texts(), "obs")

    assert "python -m proletto_otel stack init obs" == found.fix
    assert ERROR == found.level


def test_remedy_names_the_folder() -> None:
    """It can be copied as it is."""
    texts = {name: text for name, text in SHIPPED.items() if name not in (".env", "loki/loki.yaml")}
    fixes = [found.fix for found in findings(texts, shipped.texts(), "obs")]

    assert "python -m proletto_otel stack password obs" in fixes
    assert "python -m proletto_otel stack init --force obs (.env stays)" in fixes


def test_errors_come_first() -> None:
    """What stops the stack is read before what is only worth a look."""
    texts = {**SHIPPED, ".env": "LOKI_VERSION=1\nALERT_CONTACT_POINT=x\n"}
    levels = [found.level for found in findings(texts, shipped.texts())]

    assert sorted(levels, key=lambda level: level != ERROR) == levels
    assert 2 == len(set(levels))
