"""Who sends the telemetry: the resource attributes of this process, in words and in bytes.

The instance ID and the pid belong to a process, so both are made anew after a fork.
"""

from __future__ import annotations

import os
import socket
import uuid

from proletto_otel.core.config import Config
from proletto_otel.core.conventions import (
    DEPLOYMENT_ENVIRONMENT_NAME,
    HOST_NAME,
    PROCESS_PID,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    TELEMETRY_DISTRO_NAME,
    TELEMETRY_DISTRO_VERSION,
    TELEMETRY_SDK_LANGUAGE,
    TELEMETRY_SDK_NAME,
    TELEMETRY_SDK_VERSION,
)
from proletto_otel.export.encoding import otlp

DISTRO = "proletto_otel"


class Resource:
    """The attributes of `service`, `host`, `process` and `telemetry` in the serving process."""

    def __init__(self, config: Config) -> None:
        self._chosen: dict[str, str] = dict(config.resource_attributes)
        if "service_name" in config.configured or SERVICE_NAME not in self._chosen:
            self._chosen[SERVICE_NAME] = config.service_name
        self._chosen.setdefault(DEPLOYMENT_ENVIRONMENT_NAME, config.environment)
        self._made: dict[int, tuple[dict[str, str | int], bytes]] = {}

    def attributes(self) -> dict[str, str | int]:
        """A copy of the attributes; `OTEL_RESOURCE_ATTRIBUTES` wins over what we found."""
        return dict(self._of_process()[0])

    def encoded(self, instance_id: str = "") -> bytes:
        """The same as the resource's bytes for `encoding.envelope.request`.

        Args:
            instance_id: Speak as this instance and for no process: the host's totals do.
        """
        if not instance_id:
            return self._of_process()[1]
        made = {**self.attributes(), SERVICE_INSTANCE_ID: instance_id}
        made.pop(PROCESS_PID, None)
        return otlp.attributes(made, otlp.resource_attribute)

    @property
    def instance_id(self) -> str:
        """`service.instance.id` of this process."""
        return str(self._of_process()[0][SERVICE_INSTANCE_ID])

    def _of_process(self) -> tuple[dict[str, str | int], bytes]:
        # By pid: workers of one preloaded application must not share an instance ID, or Prometheus
        # takes their series for one that jumps back and forth.
        pid = os.getpid()
        made = self._made.get(pid)
        if made is None:
            found: dict[str, str | int] = {
                SERVICE_INSTANCE_ID: str(uuid.uuid4()),
                HOST_NAME: socket.gethostname(),
                PROCESS_PID: pid,
                TELEMETRY_SDK_NAME: "opentelemetry",
                TELEMETRY_SDK_LANGUAGE: "python",
                TELEMETRY_SDK_VERSION: _version("opentelemetry-sdk"),
                TELEMETRY_DISTRO_NAME: DISTRO,
                TELEMETRY_DISTRO_VERSION: _version(DISTRO),
                **self._chosen,
            }
            encoded = otlp.attributes(found, otlp.resource_attribute)
            made = self._made.setdefault(pid, (found, encoded))  # one ID for all threads
        return made


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # only once, not at import

    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
