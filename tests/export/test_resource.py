"""Each process says who it is, as OpenTelemetry's variables say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

from proletto_otel.core.config import load
from proletto_otel.export.resource import Resource


def attributes(arguments: dict[str, Any] | None = None, **environ: str) -> dict[str, Any]:
    """The resource under these settings."""
    return Resource(load(arguments or {}, {}, environ)[0]).attributes()


def test_process_names_itself_without_settings() -> None:
    """Service, environment, host, process and library are always there."""
    found = attributes()

    assert ("proletto", "development") == (
        found["service.name"], found["deployment.environment.name"],
    )  # fmt: skip
    assert os.getpid() == found["process.pid"]
    assert {"host.name", "service.instance.id", "telemetry.sdk.language"} <= found.keys()


def test_resource_names_the_installed_sdk() -> None:
    """Collectors and vendors tell SDKs apart by name, language and version."""
    found = attributes()

    assert ("opentelemetry", version("opentelemetry-sdk")) == (
        found["telemetry.sdk.name"], found["telemetry.sdk.version"],
    )  # fmt: skip


def test_resource_attributes_win_over_what_was_found() -> None:
    """OTEL_RESOURCE_ATTRIBUTES is the word of the one who deploys."""
    found = attributes(
        FLASK_ENV="production",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=staging,host.name=h,service.name=a",
    )

    assert ("staging", "h", "a") == (
        found["deployment.environment.name"], found["host.name"], found["service.name"],
    )  # fmt: skip


def test_service_name_has_its_own_variable() -> None:
    """OTEL_SERVICE_NAME wins over service.name among the attributes, the app's name does not."""
    both = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "APP_NAME": "app"}

    assert "b" == attributes(**both, OTEL_SERVICE_NAME="b")["service.name"]
    assert "a" == attributes(**both)["service.name"]
    assert "app" == attributes(APP_NAME="app")["service.name"]


FORK = """
import json, os
from proletto_otel.core.config import load
from proletto_otel.export.resource import Resource
resource = Resource(load({}, {}, {})[0])
before = resource.instance_id, resource.attributes()["process.pid"], resource.encoded().hex()
if os.fork() == 0:
    child = resource.instance_id, resource.attributes()["process.pid"], resource.encoded().hex()
    print(json.dumps([before, child, resource.instance_id]), flush=True)
    os._exit(0)
os.wait()
"""


def test_child_of_a_fork_is_another_instance() -> None:
    """Row D13: workers of one parent have distinct IDs, and each keeps its own."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    parent, child, again = json.loads(done.stdout)

    assert all(theirs != ours for theirs, ours in zip(parent, child, strict=True))
    assert again == child[0]
