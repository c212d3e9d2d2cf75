"""The `.env` file: what is missing, mistyped or does not fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from proletto_otel.stack.checks.finding import WARNING, Finding, Texts
from proletto_otel.stack.env_file import PASSWORD, parse

ADDRESS = r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>.]+"
"""An email address as Grafana wants it: with a domain of two parts, and nothing around it. For any
other one in GF_SMTP_FROM_ADDRESS it does not start, even if it sends no email (12.4.0)."""
CHOICES: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "slack-webhook": {"SLACK_WEBHOOK_URL": r"https://.+"},
    "slack-bot": {"SLACK_BOT_TOKEN": r"xoxb-.+", "SLACK_CHANNEL_ID": r".+"},
    "email": {
        "ALERT_EMAIL_TO": rf"{ADDRESS}([,;\s]+{ADDRESS})*", "SMTP_HOST": r".+",
        "GRAFANA_SMTP_ENABLED": r"true",
    },
}  # fmt: skip
"""ALERT_CONTACT_POINT -> the variables it needs, and what they look like."""

SHAPES: Mapping[str, tuple[str, str]] = {
    "METRICS_DAYS": (r"[1-9]\d*", "a number of days"),
    "LOGS_DAYS": (r"[1-9]\d*", "a number of days"),
    "TRACES_HOURS": (r"[1-9]\d*", "a number of hours"),
    "METRICS_MAX_SIZE": (r"[1-9]\d*(MB|GB|TB)", "a size such as 5GB"),
    "GRAFANA_ROOT_URL": (r"https?://.+", "an address that begins with http:// or https://"),
    "ALERT_EMAIL_FROM": (ADDRESS, "one address such as alerts@example.com: Grafana ends at others"),
    "HEARTBEAT_URL": (r"https?://.+", "an address that begins with http:// or https://"),
}
PROFILES = ("demo", "hostmetrics", "tail-sampling")
PORTS = ("GRAFANA_PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT")
HOST_VARIABLES = ("GRAFANA_ADMIN_USER", "HOST_NAME", "COMPOSE_PROJECT_NAME")
ENV = ".env"


def check(texts: Texts, folder: str) -> Iterator[Finding]:
    """Findings about .env."""
    make_one = f"python -m proletto_otel stack password {folder}"
    if ENV not in texts:
        yield Finding(ENV, "it is missing", make_one)
        return
    found = parse(texts[ENV])
    if not found.get(PASSWORD):
        yield Finding(ENV, f"{PASSWORD} is empty", make_one)
    elif "$" in found[PASSWORD]:
        yield Finding(ENV, f"{PASSWORD} has a `$`, which docker-compose replaces", "choose another")
    yield from check_against_example(found, texts.get(".env.example", ""))
    yield from check_contact_point(found)
    for name, (shape, expected) in SHAPES.items():
        if found.get(name) and not re.fullmatch(shape, found[name]):
            yield Finding(ENV, f"{name}={found[name]} does not fit", f"expected {expected}")
    yield from check_profiles(found)
    yield from check_ports(found)


def check_against_example(found: Mapping[str, str], example: str) -> Iterator[Finding]:
    """Names that nothing reads, and versions that were not tested."""
    known = set(re.findall(r"(?m)^#?(\w+)=", example))
    for name in sorted(set(found) - known - set(HOST_VARIABLES)):
        if known:
            fix = "correct the name, or delete the line; .env.example has them all"
            yield Finding(ENV, f"nothing reads {name}", fix, WARNING)
    # Versions are commented out there: the tested ones hold unless .env says otherwise.
    for name, version in re.findall(r"(?m)^#(\w+_VERSION)=(.+)$", example):
        if found.get(name) and found[name] != version:
            problem = f"{name}={found[name]} is not the tested {version}"
            yield Finding(ENV, problem, "delete the line, or try it before you rely on it", WARNING)


def check_contact_point(found: Mapping[str, str]) -> Iterator[Finding]:
    """The contact point that was chosen has what it needs."""
    choice = found.get("ALERT_CONTACT_POINT") or "none"
    if choice not in CHOICES:
        yield Finding(ENV, f"ALERT_CONTACT_POINT={choice} does not exist",
                      f"one of {', '.join(CHOICES)}")  # fmt: skip
        return
    for name, shape in CHOICES[choice].items():
        if not found.get(name):
            problem = f"ALERT_CONTACT_POINT={choice} needs {name}, which is empty"
            yield Finding(ENV, problem, f"set {name}: without it nobody gets the alerts")
        elif not re.fullmatch(shape, found[name]):
            yield Finding(ENV, f"{name} does not look right", f"expected: {shape}")


def check_profiles(found: Mapping[str, str]) -> Iterator[Finding]:
    """Each profile is one of the stack; docker-compose says nothing of others."""
    for profile in filter(None, found.get("COMPOSE_PROFILES", "").split(",")):
        if profile not in PROFILES:
            problem = f"COMPOSE_PROFILES: `{profile}` is no profile of the stack"
            yield Finding(ENV, problem, f"one of {', '.join(PROFILES)}", WARNING)


def check_ports(found: Mapping[str, str]) -> Iterator[Finding]:
    """Ports are numbers, and no two are the same."""
    used: dict[str, str] = {}
    for name in PORTS:
        port = found.get(name, "")
        if port and not (port.isdigit() and 0 < int(port) < 65536):
            yield Finding(ENV, f"{name}={port} is no port", "a number from 1 to 65535")
        elif port and port in used:
            problem = f"{name} and {used[port]} are the same port"
            yield Finding(ENV, problem, "give each its own")
        used[port] = name
