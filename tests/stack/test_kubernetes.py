"""The Kubernetes manifests: what an API server, the collector and Loki themselves say to them.

No cluster runs here: the files are accepted, refer to each other, and are hardened;
and, with real collectors, that all spans of a trace meet in one sampler.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import free_port
from tests.stack import otlp
from tests.stack.receiver import Receiver
from tests.stack.servers import (
    COMPOSE,
    ROOT,
    Server,
    binary,
    compose_default,
    missing,
    wait_for,
)
from tests.stack.test_scale import BUCKET
from tests.stack.test_validate import run
from tests.waiting import BUILD_S

FOLDER = ROOT / "kubernetes"
PATHS = sorted(FOLDER.glob("*.yaml"))
DOCUMENTS = [document for path in PATHS for document in yaml.safe_load_all(path.read_text())]
SETS = {found["metadata"]["name"]: found for found in DOCUMENTS if found["kind"] == "StatefulSet"}
SCALING = (ROOT / "docs/scaling.md").read_text()
WRITABLE_ROOT = {"grafana"}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decoder of Kubernetes' own client library."""
    if shutil.which("go") is None:
        missing("go is not installed", "https://go.dev/dl")
    path = tmp_path_factory.mktemp("manifests") / "decode"
    here = ROOT / "tests/stack/manifests"
    subprocess.run(["go", "build", "-o", str(path), "."], cwd=here, check=True, timeout=BUILD_S)
    return path


def decode(decoder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What Kubernetes' types make of *text*."""
    return subprocess.run([str(decoder)], input=text, capture_output=True, text=True)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_kubernetes_knows_every_field(decoder: Path, path: Path) -> None:
    """Strictly decoded, as by an API server."""
    done = decode(decoder, path.read_text())

    assert (0, "") == (done.returncode, done.stderr)
    assert {each["kind"] for each in yaml.safe_load_all(path.read_text())} <= set(
        re.findall(r"\w+", done.stdout)
    )


def test_unknown_field_is_seen(decoder: Path) -> None:
    """The decoder does refuse."""
    text = (FOLDER / "loki.yaml").read_text().replace("readOnlyRootFilesystem", "readOnlyRoot")

    assert (
        'unknown field "spec.template.spec.containers[0].securityContext.readOnlyRoot"'
        in decode(decoder, text).stderr
    )


@pytest.mark.parametrize("name", SETS)
def test_pod_is_hardened(name: str) -> None:
    """No root, no capabilities, a limit on memory, no token of the cluster."""
    pod = SETS[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
    assert security["allowPrivilegeEscalation"] is False
    assert (name in WRITABLE_ROOT) == (not security["readOnlyRootFilesystem"])
    assert ["ALL"] == security["capabilities"]["drop"]
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", SETS)
def test_versions_are_those_of_compose(name: str) -> None:
    """The same images as on one machine."""
    images = {compose_default(service["image"]) for service in COMPOSE["services"].values()}

    assert SETS[name]["spec"]["template"]["spec"]["containers"][0]["image"] in images


def test_mounted_settings_are_made_by_the_documented_commands() -> None:
    """Each ConfigMap and Secret of a pod is created in docs/scaling.md, of files there are."""
    text = yaml.safe_dump(list(SETS.values()))
    needed = set(re.findall(r"configMap:\n\s+(?:items:[\s\S]*?)?name: (\S+)", text))
    made = dict(re.findall(r"create configmap (\S+) (--from-file=.+)", SCALING))
    secrets = set(re.findall(r"secretKeyRef:\n\s+key: \S+\n\s+name: (\S+)", text))

    assert needed == set(made)
    assert secrets == set(re.findall(r"create secret generic (\S+)", SCALING))
    for paths in made.values():
        assert [] == [path for path in re.findall(r"=(\S+)", paths) if not (ROOT / path).exists()]


def test_arguments_are_those_of_compose() -> None:
    """Prometheus takes OTLP and keeps exemplars, as on one machine."""
    (container,) = SETS["prometheus"]["spec"]["template"]["spec"]["containers"]
    wanted = {word for word in COMPOSE["services"]["prometheus"]["command"] if "enable" in word}

    assert wanted <= set(container["args"])


def test_settings_of_grafana_are_those_of_compose() -> None:
    """What is not filled in from .env is the same: nobody is let in who was not before."""
    (container,) = SETS["grafana"]["spec"]["template"]["spec"]["containers"]
    here = {each["name"]: each.get("value") for each in container["env"]}
    fixed = {
        name: value
        for name, value in COMPOSE["services"]["grafana"]["environment"].items()
        if not value.startswith("${")
    }

    assert fixed == {name: here.get(name) for name in fixed}


def addresses() -> dict[str, set[int]]:
    """Name of a Service -> its ports."""
    services = [each for each in DOCUMENTS if each["kind"] == "Service"]
    return {
        each["metadata"]["name"]: {port["port"] for port in each["spec"]["ports"]}
        for each in services
    }


def test_every_pod_is_scraped() -> None:
    """Prometheus asks each replica: a Service in front of several would answer for one of them."""
    services = {each["metadata"]["name"]: each for each in DOCUMENTS if each["kind"] == "Service"}
    asked = set()
    for job in scrape_jobs("kubernetes"):
        for target in job.get("static_configs", [{}])[0].get("targets", []):
            name, _, port = target.partition(":")
            asked.add(name)
            assert name == "localhost" or int(port) in addresses()[name]
        for name in job.get("dns_sd_configs", [{}])[0].get("names", []):
            port_name, protocol, service = name.split(".")
            spec = services[service]["spec"]
            asked.add(spec["selector"]["app"])
            assert "None" == spec["clusterIP"]
            assert "_tcp" == protocol
            assert port_name.removeprefix("_") in {port["name"] for port in spec["ports"]}
            # Names of pods are in the records of the service that governs their set alone.
            assert service == SETS[spec["selector"]["app"]]["spec"]["serviceName"]

    assert asked == {*SETS, "localhost"} - {"prometheus"}
    several = {name for name, each in SETS.items() if each["spec"]["replicas"] > 1}
    assert several == {
        job["dns_sd_configs"][0]["names"][0].split(".")[-1].removesuffix("-pods")
        for job in scrape_jobs("kubernetes")
        if "dns_sd_configs" in job
    }


def scrape_jobs(name: str) -> list[dict[str, Any]]:
    """The jobs of a configuration of Prometheus."""
    text = (ROOT / f"prometheus/prometheus-{name}.yml").read_text()
    return list(yaml.safe_load(text)["scrape_configs"])


def test_prometheus_reads_the_mounted_file() -> None:
    """The ConfigMap of the docs holds the file of the argument."""
    (container,) = SETS["prometheus"]["spec"]["template"]["spec"]["containers"]
    (path,) = [arg for arg in container["args"] if arg.startswith("--config.file=")]
    made = re.search(r"configmap prometheus --from-file=(\S+)", SCALING)

    assert made
    assert path.rpartition("/")[2] == made[1].rpartition("/")[2]


def test_parts_reach_each_other() -> None:
    """Every address in the settings is a Service with that port."""
    texts = [
        (ROOT / path).read_text()
        for path in (
            "collector/config.yaml", "collector/balancing.yaml", "collector/sampler.yaml",
            "grafana/provisioning/datasources/datasources.yaml",
        )
    ]  # fmt: skip
    found = re.findall(r"http://([a-z-]+):(\d+)", "\n".join(texts))

    assert {"prometheus", "loki", "tempo"} <= {name for name, _ in found}
    assert [] == [(name, port) for name, port in found if int(port) not in addresses()[name]]
    assert 4317 in addresses()["otel-sampler"]
    assert {4317, 4318} == addresses()["otel-collector"]


def test_stores_hear_the_stack_alone() -> None:
    """Pods of others reach the collectors and Grafana, as on one machine."""
    (policy,) = [each for each in DOCUMENTS if each["kind"] == "NetworkPolicy"]
    (closed,) = policy["spec"]["podSelector"]["matchExpressions"]
    (source,) = policy["spec"]["ingress"][0]["from"]
    (allowed,) = source["podSelector"]["matchExpressions"]

    assert set(SETS) - {"grafana", "otel-collector"} == set(closed["values"])
    assert set(SETS) == set(allowed["values"])


@pytest.mark.parametrize("files", [("config.yaml", "balancing.yaml"), ("sampler.yaml",)], ids=str)
def test_collector_accepts(files: tuple[str, ...]) -> None:
    """Its own `validate`."""
    options = [f"--config=collector/{file}" for file in files]

    assert "deprecated" not in run(binary("otelcol-contrib"), "validate", *options)


@pytest.mark.parametrize("target", ["all", "read", "write", "backend"])
def test_loki_accepts_each_target(target: str) -> None:
    """As one process, and in its scalable mode of readers, writers and a backend."""
    config = ("-config.file=loki/loki-s3.yaml", "-config.expand-env=true", f"-target={target}")

    assert "level=error" not in run(binary("loki"), *config, "-verify-config", **BUCKET)


def test_policies_of_both_samplers_are_the_same() -> None:
    """Which traces are kept does not change when the set-up grows."""
    one, more = (
        yaml.safe_load((ROOT / f"collector/{name}.yaml").read_text())["processors"]["tail_sampling"]
        for name in ("tail-sampling", "sampler")
    )

    assert one == more


class Tier:
    """Two collectors and two samplers, each on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.tempos = [Receiver(), Receiver()]
        """One behind each sampler, so that it shows which one had a trace."""
        self.samplers = [free_port(), free_port()]
        self.inputs = [free_port(), free_port()]
        self.servers: list[Server] = []
        self.folder = folder
        addresses = [f"127.0.0.1:{port}" for port in self.samplers]
        # Names lead to addresses, not to ports; here all are one machine.
        resolver = {"static": {"hostnames": addresses}, "dns": None}
        (folder / "here.yaml").write_text(
            yaml.safe_dump({"exporters": {"load_balancing": {"resolver": resolver}}})
        )

    def start(self) -> None:
        """Samplers first."""
        for number in (0, 1):
            self._start(f"sampler{number}", ["collector/sampler.yaml"], {
                "COLLECTOR_OTLP_GRPC": f"127.0.0.1:{self.samplers[number]}",
                "COLLECTOR_TO_TEMPO": self.tempos[number].url,
            })  # fmt: skip
        files = ["collector/config.yaml", "collector/balancing.yaml"]
        for number in (0, 1):
            self._start(f"front{number}", [*files, str(self.folder / "here.yaml")], {
                "COLLECTOR_OTLP_GRPC": f"127.0.0.1:{free_port()}",
                "COLLECTOR_OTLP_HTTP": f"127.0.0.1:{self.inputs[number]}",
            })  # fmt: skip

    def _start(self, name: str, files: list[str], env: dict[str, str]) -> None:
        health = f"127.0.0.1:{free_port()}"
        env |= {
            "COLLECTOR_HEALTH": health, "COLLECTOR_METRICS_HOST": "127.0.0.1",
            "COLLECTOR_METRICS_PORT": str(free_port()),
            "COLLECTOR_QUEUE_DIR": str(self.folder / f"queue-{name}"),
        }  # fmt: skip
        options = [f"--config={ROOT / file}" for file in files]
        server = Server([binary("otelcol-contrib"), *options], self.folder / f"{name}.log", env)
        self.servers.append(server)
        server.wait_ready(f"http://{health}")

    def close(self) -> None:
        """End all."""
        for server in reversed(self.servers):
            server.stop()
        for tempo in self.tempos:
            tempo.close()


@pytest.fixture
def tier(tmp_path: Path) -> Iterator[Tier]:
    """The running tier."""
    made = Tier(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


def parts(trace: str, number: int) -> list[dict[str, Any]]:
    """Two spans of a trace, the second of which failed."""
    first, second = (otlp.span(trace, f"{number:08x}{half:08x}", {}) for half in (1, 2))
    return [first, {**second, "status": {"code": 2}}]


def test_spans_of_a_trace_meet_in_one_sampler(tier: Tier) -> None:
    """Both spans of each failed trace, sent through different collectors, are kept by one."""
    traces = [uuid.uuid4().hex for _ in range(60)]
    halves = [parts(trace, number + 1) for number, trace in enumerate(traces)]
    for half, port in enumerate(tier.inputs):
        spans = [both[half] for both in halves]
        otlp.send(f"http://127.0.0.1:{port}", "traces", "t-balanced", spans)

    def kept() -> list[Counter[str]]:
        found = [Counter(span.trace_id for span in tempo.of("t-balanced")) for tempo in tier.tempos]
        return found if sum(found, Counter()).total() >= 2 * len(traces) else []

    first, second = wait_for("decisions", kept)

    assert Counter(dict.fromkeys(traces, 2)) == first + second
    assert not first.keys() & second.keys()
    assert first
    assert second
