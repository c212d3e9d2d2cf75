"""The shipped files, read without starting anything: pins, mounts, hardening, references."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proletto_otel.stack.checks.env import ADDRESS
from tests.stack.servers import COMPOSE, ROOT, compose_default, versions

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGES = {
    "otel/opentelemetry-collector-contrib": "COLLECTOR_VERSION",
    "prom/prometheus": "PROMETHEUS_VERSION",
    "grafana/loki": "LOKI_VERSION",
    "grafana/tempo": "TEMPO_VERSION",
    "grafana/grafana": "GRAFANA_VERSION",
}
CHOICES = ("none", "slack-webhook", "slack-bot", "email")
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
PROVISIONING = ROOT / "grafana/provisioning"

WRITABLE_ROOT = {"grafana": "its plugin updater loses data sources on a read-only root"}
RUNS_AS_ROOT = {"volume-owner": "gives new volumes to their owners, once, without a network"}


def load(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("service", SERVICES)
def test_versions_agree(service: str) -> None:
    """The defaults of docker-compose.yml are the versions of backends/versions.env."""
    if "build" in SERVICES[service]:
        argument = SERVICES[service]["build"]["args"]["PYTHON_VERSION"]
        assert f"#PYTHON_VERSION={compose_default(argument)}\n" in ENV_EXAMPLE
        return
    name, _, tag = SERVICES[service]["image"].partition(":")

    assert f"${{{IMAGES[name]}:-{versions()[IMAGES[name]]}}}" == tag


@pytest.mark.parametrize("variable", IMAGES.values())
def test_example_names_the_versions(variable: str) -> None:
    """.env.example shows the same versions, commented out."""
    assert f"#{variable}={versions()[variable]}\n" in ENV_EXAMPLE


def test_built_servers_have_the_same_versions() -> None:
    """What the tests drive is what docker-compose.yml starts."""
    pins = versions()
    # Prometheus v3.16.0 is the Go module v0.316.0.
    prometheus = re.sub(r"^v3\.(\d+)\.", r"v0.3\1.", pins["PROMETHEUS_VERSION"])
    modules = {
        "collector/manifest.yaml": f"\n  version: {pins['COLLECTOR_VERSION']}\n",
        "prometheus/go.mod": f"prometheus/prometheus {prometheus}",
        "loki/go.mod": f"loki/v3 v{pins['LOKI_VERSION']}",
    }

    for path, expected in modules.items():
        assert expected in (ROOT / "backends" / path).read_text()


def test_components_have_the_collectors_version() -> None:
    """No component of the built collector is of another release."""
    manifest = load(ROOT / "backends/collector/manifest.yaml")
    kinds = ("receivers", "processors", "connectors", "exporters", "extensions")
    found = {entry["gomod"].split()[1] for kind in kinds for entry in manifest[kind]}

    assert {f"v{versions()['COLLECTOR_VERSION']}"} == found


@pytest.mark.parametrize("choice", CHOICES)
def test_every_mounted_file_exists(choice: str) -> None:
    """A missing source of a bind mount would become an empty directory."""
    sources = [
        mount["source"]
        for service in SERVICES.values()
        for mount in service.get("volumes", [])
        if isinstance(mount, dict)
    ]
    chosen = (source.replace("${ALERT_CONTACT_POINT:-none}", choice) for source in sources)
    paths = [compose_default(source) for source in chosen]

    assert [] == [path for path in paths if not (ROOT / path).exists()]
    assert paths


def test_grafana_mount_point_exists() -> None:
    """The contact point is mounted over a file of a read-only folder, so one must be there."""
    assert (PROVISIONING / "alerting/contact-points.yaml").is_file()


def test_every_variable_is_explained() -> None:
    """Each variable of docker-compose.yml stands in .env.example, or is the host's affair."""
    text = (ROOT / "docker-compose.yml").read_text()
    used = set(re.findall(r"\$\{(\w+)[:}]", re.sub(r"#.*", "", text)))
    explained = set(re.findall(r"^#?(\w+)=", ENV_EXAMPLE, re.MULTILINE))

    assert {"GRAFANA_ADMIN_USER", "HOST_NAME"} == used - explained
    assert set() == explained - used


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_hardened(service: str) -> None:
    """Every service: no root, no capabilities, no new privileges, limits; exceptions by name."""
    found = SERVICES[service]

    assert (service in RUNS_AS_ROOT) == found["user"].startswith("0:")
    assert (service in WRITABLE_ROOT) == (not found["read_only"])
    assert ["ALL"] == found["cap_drop"]
    assert (["CHOWN"] if service in RUNS_AS_ROOT else []) == found.get("cap_add", [])
    assert ["no-new-privileges:true"] == found["security_opt"]
    assert "privileged" not in found
    assert found["pids_limit"]
    assert found["mem_limit"].endswith("m")
    assert {"max-size", "max-file"} == set(found["logging"]["options"])
    assert "docker.sock" not in str(found)
    assert ":latest" not in found["image"]


def test_memory_fits_a_small_machine() -> None:
    """All services that stay up fit a machine of 2 GB, with 0.4 GB to spare."""
    limits = [
        int(service["mem_limit"].removesuffix("m"))
        for service in SERVICES.values()
        if "profiles" not in service and service["restart"] != "no"
    ]

    assert sum(limits) <= 1600
    assert f"Memory limits add up to {sum(limits):,} MB" in (ROOT / "docs/stack.md").read_text()


def test_ports_are_on_loopback_only() -> None:
    """Published ports bypass a host firewall; ours are bound to loopback."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ["127.0.0.1"] * 3 == [compose_default(port).split(":")[0] for port in ports]


def test_stores_have_no_way_out() -> None:
    """Stores sit on a network that reaches neither the host nor the world."""
    assert COMPOSE["networks"]["backend"]["internal"] is True
    for store in ("prometheus", "loki", "tempo"):
        assert ["backend"] == SERVICES[store]["networks"]


@pytest.mark.parametrize("choice", CHOICES)
def test_every_contact_point_is_the_same_receiver(choice: str) -> None:
    """Policies name two receivers; each choice defines them, under one uid each."""
    points = load(ROOT / f"grafana/contact-points/{choice}.yaml")["contactPoints"]

    assert [("proletto", ["proletto-contact"]), ("proletto-heartbeat", ["proletto-heartbeat"])] == [
        (point["name"], [receiver["uid"] for receiver in point["receivers"]]) for point in points
    ]


def test_policies_name_a_receiver_that_exists() -> None:
    """An unknown receiver stops Grafana."""
    tree = load(PROVISIONING / "alerting/policies.yaml")["policies"][0]

    named = {tree["receiver"], *(route["receiver"] for route in tree["routes"])}
    assert {"proletto", "proletto-heartbeat"} == named


def test_dollars_in_contact_points_are_variables_that_compose_sets() -> None:
    """An unset variable becomes empty in silence, and an empty Slack URL stops Grafana."""
    passed = SERVICES["grafana"]["environment"]
    for choice in CHOICES:
        text = re.sub(r"#.*", "", (ROOT / f"grafana/contact-points/{choice}.yaml").read_text())
        names = re.findall(r"\$\{(\w+)\}", text)

        assert text.count("$") == len(names)
        assert all(compose_default(passed[name]) for name in names)


def test_data_sources_have_fixed_uids() -> None:
    """Dashboards and rules refer to these three."""
    sources = load(PROVISIONING / "datasources/datasources.yaml")["datasources"]
    hosts = {source["uid"]: source["url"].split("/")[2].split(":")[0] for source in sources}

    assert {uid: uid for uid in ("prometheus", "loki", "tempo")} == hosts
    assert set(hosts) <= set(SERVICES)


def test_grafana_knows_the_version_of_prometheus() -> None:
    """The data source names the version that docker-compose.yml starts."""
    sources = load(PROVISIONING / "datasources/datasources.yaml")["datasources"]
    found = {source["jsonData"].get("prometheusVersion") for source in sources} - {None}

    assert {versions()["PROMETHEUS_VERSION"].removeprefix("v")} == found


def test_no_data_source_wants_a_service_graph() -> None:
    """Nothing emits service-graph series, so nothing asks for them."""
    assert "serviceMap" not in (PROVISIONING / "datasources/datasources.yaml").read_text()


def test_one_target_cannot_fill_prometheus() -> None:
    """A scrape with more series than all parts of the stack have together is refused."""
    scraping = load(ROOT / "prometheus/prometheus.yml")["global"]

    assert 2_000 <= scraping["sample_limit"] <= 50_000


def test_grafana_runs_no_script_from_elsewhere() -> None:
    """Its Content-Security-Policy is off unless it is asked for."""
    assert "true" == SERVICES["grafana"]["environment"]["GF_SECURITY_CONTENT_SECURITY_POLICY"]


@pytest.mark.parametrize("name", ["GF_SMTP_FROM_ADDRESS", "ALERT_EMAIL_TO"])
def test_default_addresses_have_a_domain_of_two_parts(name: str) -> None:
    """With `grafana@localhost` for a sender Grafana ends at start, even if it sends no email."""
    address = compose_default(COMPOSE["services"]["grafana"]["environment"][name])

    assert re.fullmatch(ADDRESS, address)


def test_vendor_reporting_is_off() -> None:
    """No part of the stack calls its vendor."""
    grafana = SERVICES["grafana"]["environment"]
    switches = ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES")

    assert {"false"} == {grafana[f"GF_ANALYTICS_{switch}"] for switch in switches}
    assert load(ROOT / "loki/loki.yaml")["analytics"]["reporting_enabled"] is False
    assert load(ROOT / "tempo/tempo.yaml")["usage_report"]["reporting_enabled"] is False
