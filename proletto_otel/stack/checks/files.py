"""The files themselves: all there, parseable, ports on loopback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml

from proletto_otel.stack.checks.finding import ERROR, WARNING, Finding, Texts, load
from proletto_otel.stack.env_file import parse

COMPOSE = "docker-compose.yml"


def check(texts: Texts, shipped: Texts, folder: str) -> Iterator[Finding]:
    """Findings about single files; *shipped* are the ones of this version."""
    again = f"python -m proletto_otel stack init --force {folder} (.env stays)"
    mounted = mounts(texts.get(COMPOSE, shipped[COMPOSE]), texts.get(".env", ""))
    for path in shipped:
        if path not in texts:
            # The others are for Kubernetes, for several machines, or to pick from.
            needed = path == COMPOSE or path.startswith(mounted)
            yield Finding(path, "it is missing", again, ERROR if needed else WARNING)
    for path, text in texts.items():
        yield from check_syntax(path, text)
    yield from check_published_ports(texts.get("docker-compose.yml", ""))
    different = [p for p in shipped if p in texts and texts[p] != shipped[p]]
    if "docker-compose.yml" in different:
        problem = "it is not the one of the installed version"
        yield Finding("docker-compose.yml", problem, f"after an upgrade: {again}", WARNING)


def mounts(compose: str, env: str) -> tuple[str, ...]:
    """The files and folders that docker-compose gives the containers; it wants all of them."""
    values = parse(env)
    return tuple(
        re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: values.get(m[1]) or m[2], source)
        for source in re.findall(r"(?m)^\s*source: \./(\S+)$", compose)
    )


def check_syntax(path: str, text: str) -> Iterator[Finding]:
    """The file parses."""
    try:
        if path.endswith((".yml", ".yaml")):
            # Only the manifests of Kubernetes hold several documents.
            for document in text.split("\n---\n"):
                load(document)
        elif path.endswith(".json"):
            json.loads(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        yield Finding(path, f"{line}{error.problem}", "correct the YAML there")
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        yield Finding(path, str(error), "correct the file")


def check_published_ports(compose: str) -> Iterator[Finding]:
    """No port is published to the network."""
    for line in compose.splitlines():
        port = re.match(r"\s*- [\"']?(?!127\.0\.0\.1:)([\w.${}:-]*:\d+)[\"']?\s*$", line)
        # Docker writes its own firewall rules, which come before those of the host.
        if port and re.search(r":\d+$", port[1]):
            problem = f"{port[1]} is published to the network, past the host's firewall"
            fix = "begin it with 127.0.0.1:, and put a proxy with TLS and a login in front"
            yield Finding("docker-compose.yml", problem, fix, WARNING)
