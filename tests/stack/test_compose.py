"""`docker-compose up -d` with the shipped file: it starts, it is hardened, telemetry arrives.

Collector, Prometheus and Loki are the real ones; Tempo and Grafana are stand-ins (`images`).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import free_port
from tests.stack import otlp
from tests.stack.demo_image import import_python, write_wheels
from tests.stack.engine import engine
from tests.stack.images import import_all
from tests.stack.servers import COMPOSE, ROOT, compose_default, wait_for
from tests.waiting import BUILD_S, PATIENCE_S

SERVICES = ("otel-collector", "prometheus", "loki", "tempo", "grafana", "stack-health")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FILES = (
    ".env.example", "docker-compose.yml", "collector", "prometheus", "loki", "tempo", "grafana",
    "demo-image",
)  # fmt: skip


class Stack:
    """The stack as docker-compose started it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env
        self.said = ""
        """What `stack up` printed."""

    @property
    def endpoint(self) -> str:
        """Where applications send."""
        return f"http://127.0.0.1:{self.env['OTLP_HTTP_PORT']}"

    def compose(self, *words: str) -> str:
        """Run docker-compose in a copy of the shipped files."""
        done = subprocess.run(
            ["docker-compose", "-p", "proletto", *words], cwd=self.folder, env=self.env,
            capture_output=True, text=True, timeout=BUILD_S,
        )  # fmt: skip
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says about a service's container."""
        container = self.compose("ps", "-q", service).strip()
        out = subprocess.run(["docker", "inspect", container], env=self.env, capture_output=True)
        return dict(json.loads(out.stdout)[0])

    def ask(self, url: str) -> str:
        """What a part answers on the stack's own network; empty when it does not."""
        container = self.inspect("stack-health")["Id"]
        command = ["docker", "exec", container, "/bin/wget", "-q", "-O", "-", url]
        return subprocess.run(command, env=self.env, capture_output=True, text=True).stdout

    def until(self, url: str, expected: str) -> str:
        """Ask until the answer holds *expected*."""
        look: Callable[[], str] = lambda: (  # noqa: E731 - typed for wait_for
            answer if expected in (answer := self.ask(url)) else ""
        )
        return wait_for(f"{expected} from {url}", look)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shipped stack, up and healthy."""
    # A socket's path may have 107 characters.
    folder = tmp_path_factory.mktemp("d")
    files = folder / "files"
    files.mkdir()
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, files / name)
    with engine(folder) as env:
        import_all(folder, env)
        names = ("OTLP_HTTP_PORT", "OTLP_GRPC_PORT", "GRAFANA_PORT")
        env |= {name: str(free_port()) for name in names}
        env |= {"GRAFANA_ADMIN_PASSWORD": "let-me-in"}
        running = Stack(files, env)
        try:
            running.said = up(running)
            wait_for("the stack", lambda: healthy(running, "stack-health"))
            yield running
        finally:
            running.compose("down", "-v")


def up(stack: Stack) -> str:
    """As docs/stack.md has it: copy the example, fill in a password (here ports too), start."""
    names = ("GRAFANA_ADMIN_PASSWORD", "GRAFANA_PORT", "OTLP_HTTP_PORT", "OTLP_GRPC_PORT")
    lines = [f"{name}={stack.env[name]}\n" for name in names]
    example = (stack.folder / ".env.example").read_text()
    (stack.folder / ".env").write_text(example + "".join(lines))
    command = [sys.executable, "-m", "proletto_otel", "stack", "up", str(stack.folder)]
    env = {**stack.env, "COMPOSE_PROJECT_NAME": "proletto"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BUILD_S)
    (stack.folder / ".env").unlink()
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def healthy(stack: Stack, service: str) -> bool:
    """Whether the engine calls a service healthy."""
    return bool("healthy" == stack.inspect(service)["State"]["Health"]["Status"])


def test_every_part_is_healthy(stack: Stack) -> None:
    """One command starts the stack; every part that can say so says that it is healthy."""
    for service in SERVICES:
        if "healthcheck" in COMPOSE["services"][service]:
            wait_for(service, lambda name=service: healthy(stack, name))

    assert "Server available" in stack.ask("http://otel-collector:13133")
    assert 0 == stack.inspect("volume-owner")["State"]["ExitCode"]


def test_up_says_what_to_open(stack: Stack) -> None:
    """`stack up` started what runs here; it prints the addresses that really answer."""
    wait_for("grafana", lambda: healthy(stack, "grafana"))
    grafana, otlp_http = re.findall(r"http://127\.0\.0\.1:\d+", stack.said)

    assert f"http://127.0.0.1:{stack.env['GRAFANA_PORT']}" == grafana
    assert stack.endpoint == otlp_http
    with urllib.request.urlopen(f"{grafana}/api/health", timeout=PATIENCE_S) as answer:
        assert 200 == answer.status


@pytest.mark.parametrize("service", SERVICES)
def test_hardening_is_in_force(stack: Stack, service: str) -> None:
    """No root, no capabilities, no new privileges, seccomp on: read from the kernel."""
    found = stack.inspect(service)
    status = Path(f"/proc/{found['State']['Pid']}/status").read_text()
    facts = dict(re.findall(r"^(\w+):\t(\w+)", status, re.MULTILINE))

    assert "0" != facts["Uid"]
    assert 0 == int(facts["CapEff"], 16)
    assert 0 == int(facts["CapBnd"], 16)
    assert ("1", "2") == (facts["NoNewPrivs"], facts["Seccomp"])
    assert found["HostConfig"]["Memory"] > 0
    assert ("grafana" != service) == found["HostConfig"]["ReadonlyRootfs"]


def test_only_three_ports_reach_the_host(stack: Stack) -> None:
    """OTLP and Grafana are published, on loopback; nothing else is."""
    published = {
        (service, binding["HostIp"])
        for service in SERVICES
        for bindings in stack.inspect(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }

    assert {("otel-collector", "127.0.0.1"), ("grafana", "127.0.0.1")} == published


def test_trace_arrives(stack: Stack) -> None:
    """A span sent to the published port reaches the trace store."""
    otlp.send(stack.endpoint, "traces", "shop", [otlp.span(TRACE, "00f067aa0ba902b7", {})])

    stack.until(f"http://tempo:3200/api/traces/{TRACE}", "found")


def test_log_arrives(stack: Stack) -> None:
    """A log line sent to the published port is found in Loki by its request ID."""
    record = otlp.log(TRACE, "order placed", {"request_id": "rid-7"})
    otlp.send(stack.endpoint, "logs", "shop", [record])

    query = urllib.parse.quote('{service_name="shop"} | request_id="rid-7"')
    stack.until(f"http://loki:3100/loki/api/v1/query_range?query={query}", "order placed")


def test_metric_arrives(stack: Stack) -> None:
    """A metric sent to the published port is found in Prometheus under its translated name."""
    otlp.send(stack.endpoint, "metrics", "shop", [otlp.counter("shop.orders", 42)])

    url = "http://prometheus:9090/api/v1/query?query=shop_orders_total"
    answer = json.loads(stack.until(url, '"42"'))

    assert "shop" == answer["data"]["result"][0]["metric"]["service_name"]


def test_password_is_required(stack: Stack) -> None:
    """Without a Grafana password docker-compose refuses and says what to set."""
    env = {key: value for key, value in stack.env.items() if key != "GRAFANA_ADMIN_PASSWORD"}
    done = subprocess.run(
        ["docker-compose", "config", "-q"],
        cwd=stack.folder,
        env=env,
        capture_output=True,
        text=True,
    )

    assert 0 != done.returncode
    assert "set GRAFANA_ADMIN_PASSWORD in .env" in done.stderr


@pytest.mark.parametrize("choice", ["none", "slack-webhook", "slack-bot", "email"])
def test_contact_point_is_chosen_in_env(stack: Stack, choice: str) -> None:
    """ALERT_CONTACT_POINT picks the file that Grafana reads."""
    env = {**stack.env, "ALERT_CONTACT_POINT": choice}
    shown = subprocess.run(
        ["docker-compose", "config"], cwd=stack.folder, env=env, capture_output=True, text=True
    )

    assert f"grafana/contact-points/{choice}.yaml" in shown.stdout


def kept(stack: Stack, service: str, profiles: str) -> int:
    """With *profiles*: how many of 60 traces are in the store, once a failed one is there."""
    running = Stack(stack.folder, {**stack.env, "COMPOSE_PROFILES": profiles})
    running.compose("up", "-d")
    wait_for("the stack", lambda: healthy(running, "stack-health"))
    failed, *others = (uuid.uuid4().hex for _ in range(61))
    spans = [otlp.span(trace, "00f067aa0ba902b7", {}) for trace in others]
    spans.append({**otlp.span(failed, "00f067aa0ba902b7", {}), "status": {"code": 2}})
    otlp.send(running.endpoint, "traces", service, spans)

    running.until(f"http://tempo:3200/api/traces/{failed}", "found")
    # One call of the engine for all: each takes a second here.
    ask = "for trace; do wget -q -O - http://tempo:3200/api/traces/$trace; done; true"
    words = ["docker", "exec", running.inspect("stack-health")["Id"], "/bin/sh", "-c", ask, "sh"]
    done = subprocess.run([*words, *others], env=running.env, capture_output=True, text=True)
    return done.stdout.count("found")


def test_profile_samples_traces(stack: Stack) -> None:
    """COMPOSE_PROFILES=tail-sampling keeps failures and about a tenth; without it all are kept."""
    assert 20 > kept(stack, "t-sampled", "other,tail-sampling")
    assert 60 == kept(stack, "t-all", "")


def test_profile_as_an_option_says_that_it_is_not_enough(stack: Stack) -> None:
    """`--profile tail-sampling` does not reach the collector: its container ends and says why."""
    stack.compose("--profile", "tail-sampling", "up", "-d", "tail-sampling")
    wait_for("its end", lambda: not stack.inspect("tail-sampling")["State"]["Running"])

    assert 1 == stack.inspect("tail-sampling")["State"]["ExitCode"]
    assert "set COMPOSE_PROFILES=tail-sampling" in stack.compose("logs", "tail-sampling")


@pytest.fixture(scope="module")
def demo(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The `demo` profile, with the wheel of this tree."""
    write_wheels(stack.folder / "demo-image")
    arguments = COMPOSE["services"]["demo"]["build"]["args"]
    name = f"python:{compose_default(arguments['PYTHON_VERSION'])}"
    import_python(tmp_path_factory.mktemp("p"), stack.env, name)
    stack.compose("--profile", "demo", "up", "-d", "--build", "demo")
    wait_for("the demo", lambda: healthy(stack, "demo"))
    return stack


def test_demo_fills_the_stack(demo: Stack) -> None:
    """The shop of the wheel has traffic, and its lines, numbers and errors are in the stores."""
    query = 'http_server_request_duration_seconds_count{service_name="shop",http_route="/orders"}'
    url = f"http://prometheus:9090/api/v1/query?query={urllib.parse.quote(query)}"
    demo.until(url, '"http_route":"/orders"')
    lines = urllib.parse.quote('{service_name="shop"} | exception_type!=""')
    demo.until(f"http://loki:3100/loki/api/v1/query_range?query={lines}", "exception_type")


def test_demo_has_only_the_wheel(demo: Stack) -> None:
    """Nothing of a clone is in the container: the package lies where pip put it."""
    code = "import proletto_otel, os; print(proletto_otel.__file__, os.getcwd())"
    container = demo.inspect("demo")["Id"]
    done = subprocess.run(["docker", "exec", container, "python", "-c", code], env=demo.env,
                          capture_output=True, text=True)  # fmt: skip

    assert "site-packages/proletto_otel/__init__.py /tmp" in done.stdout, done.stderr


def test_demo_is_hardened(demo: Stack) -> None:
    """The same as every other part."""
    test_hardening_is_in_force(demo, "demo")


def test_demo_stays_within_its_memory(demo: Stack) -> None:
    """Four fifths of its limit at most, log files in memory included."""
    container = demo.inspect("demo")["Id"]
    command = ["docker", "stats", "--no-stream", "--format", "{{.MemPerc}}", container]
    share = subprocess.run(command, env=demo.env, capture_output=True, text=True).stdout

    assert 0 < float(share.strip().rstrip("%")) < 80
