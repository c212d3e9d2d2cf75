"""Collector, Prometheus and Loki running together, and how to ask them."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.servers import free_port
from tests.stack.receiver import Receiver
from tests.stack.servers import ROOT, Server, binary, compose_command, get

SCRAPE_SECONDS = 1
"""Instead of the shipped 30 s, so that a test sees the collector's own figures soon."""
ANSWER_S = 60
"""A store that has just got ten minutes of lines takes a while to look through them."""
RULES = sorted((ROOT / "prometheus/rules").glob("*.yml"))

KEPT = "all-traces.yaml"
"""Which traces the collector keeps, unless a profile says otherwise."""


@dataclass
class System:
    """The addresses of the running parts."""

    folder: Path
    """Logs, queue and stores of this run."""
    tempo: Receiver
    """Stands in for Tempo."""
    ports: dict[str, int] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def otlp(self) -> str:
        """Where applications send."""
        return self.url("otlp")

    def url(self, name: str) -> str:
        """The base address of a part."""
        return f"http://127.0.0.1:{self.port(name)}"

    def port(self, name: str) -> int:
        """The port of a part, the same over restarts."""
        return self.ports.setdefault(name, free_port())

    def start_prometheus(self) -> None:
        """Start it with the shipped configuration; only scrape targets and interval are moved."""
        config = yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())
        config["global"]["scrape_interval"] = f"{SCRAPE_SECONDS}s"
        here = {"prometheus": "prometheus", "otel-collector": "collector_metrics", "loki": "loki"}
        config["scrape_configs"] = [
            {**job, "static_configs": [{"targets": [f"127.0.0.1:{self.port(here[name])}"]}]}
            for job in config["scrape_configs"]
            if (name := job["job_name"]) in here
        ]
        config["rule_files"] = [str(self._hurried(path)) for path in RULES]
        path = self.folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        moves = {
            "/etc/prometheus/prometheus.yml": str(path),
            "/prometheus": str(self.folder / "prometheus"),
        }
        command = [binary("prometheus"), *compose_command("prometheus", moves)]
        command.append(f"--web.listen-address=127.0.0.1:{self.port('prometheus')}")
        self._start("prometheus", command, {}, f"{self.url('prometheus')}/-/ready")

    def _hurried(self, path: Path) -> Path:
        """Recorded series once a second, instead of once in one or five minutes."""
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group["interval"] = f"{SCRAPE_SECONDS}s"
        copy = self.folder / f"rules-{path.name}"
        copy.write_text(yaml.safe_dump(rules))
        return copy

    def start_loki(self) -> None:
        """Start it with the shipped configuration."""
        moves = {"/etc/loki/loki.yaml": str(ROOT / "loki/loki.yaml")}
        command = [binary("loki"), *compose_command("loki", moves)]
        # It would call itself not ready for fifteen seconds.
        command.append("-ingester.min-ready-duration=0s")
        env = {
            "LOKI_ADDRESS": "127.0.0.1",
            "LOKI_DIR": str(self.folder / "loki"),
            "LOKI_HTTP_PORT": str(self.port("loki")),
            "LOKI_GRPC_PORT": str(self.port("loki_grpc")),
        }
        self._start("loki", command, env, f"{self.url('loki')}/ready")

    def start_collector(self, *overlays: str) -> None:
        """Start it with the shipped configuration, addresses moved by its environment."""
        moves = {
            f"/etc/otelcol-contrib/{name}": str(ROOT / "collector" / file)
            for name, file in (("config.yaml", "config.yaml"), ("kept/traces.yaml", KEPT))
        }
        env = {
            "COLLECTOR_OTLP_GRPC": f"127.0.0.1:{self.port('otlp_grpc')}",
            "COLLECTOR_OTLP_HTTP": f"127.0.0.1:{self.port('otlp')}",
            "COLLECTOR_TO_PROMETHEUS": f"{self.url('prometheus')}/api/v1/otlp",
            "COLLECTOR_TO_LOKI": f"{self.url('loki')}/otlp",
            "COLLECTOR_TO_TEMPO": self.tempo.url,
            "COLLECTOR_HEALTH": f"127.0.0.1:{self.port('health')}",
            "COLLECTOR_METRICS_HOST": "127.0.0.1",
            "COLLECTOR_METRICS_PORT": str(self.port("collector_metrics")),
            "COLLECTOR_QUEUE_DIR": str(self.folder / "queue"),
            "COLLECTOR_SPAN_METRICS_FLUSH": "1s",
        }
        command = [binary("otelcol-contrib"), *compose_command("otel-collector", moves)]
        command += [f"--config={ROOT / 'collector' / overlay}" for overlay in overlays]
        self._start("collector", command, env, self.url("health"))

    def start_host_metrics(self) -> None:
        """Start the collector of the `hostmetrics` profile; it reads this machine."""
        moves = {"/etc/otelcol-contrib/config.yaml": str(ROOT / "collector/host-metrics.yaml")}
        command = [binary("otelcol-contrib"), *compose_command("host-metrics", moves)]
        env = {"HOST_ROOT": "/", "COLLECTOR_ENDPOINT": f"127.0.0.1:{self.port('otlp_grpc')}"}
        self.servers["host"] = Server(command, self.folder / "host.log", env)

    def stop(self, name: str) -> None:
        """End one part and wait for it."""
        self.servers.pop(name).stop()

    def close(self) -> None:
        """End every part, the collector first."""
        for name in sorted(self.servers):
            self.stop(name)
        self.tempo.close()

    def promql(self, expression: str) -> list[dict[str, Any]]:
        """The vector of an instant query: `metric` and `value` of each series."""
        query = urllib.parse.urlencode({"query": expression})
        return list(_data(f"{self.url('prometheus')}/api/v1/query?{query}")["result"])

    def total(self, expression: str) -> float:
        """The sum over the series of an instant query."""
        return sum(float(series["value"][1]) for series in self.promql(expression))

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of the last hour for a selector."""
        now = time.time()
        query = urllib.parse.urlencode({"query": expression, "start": now - 3600, "end": now + 60})
        return list(_data(f"{self.url('prometheus')}/api/v1/query_exemplars?{query}"))

    def logql(self, query: str) -> list[tuple[dict[str, str], str]]:
        """(labels and structured metadata, line) of each entry of the last hour, oldest first."""
        entries = [
            (int(time_ns), stream["stream"], line)
            for stream in self.loki(query)
            for time_ns, line, *_ in stream["values"]
        ]
        return [(labels, line) for _, labels, line in sorted(entries, key=lambda entry: entry[0])]

    def loki(self, query: str) -> list[dict[str, Any]]:
        """What Loki answers for the last hour: streams of lines, or series of numbers."""
        now = time.time_ns()
        parameters = {
            "query": query,
            "start": now - 3600 * 10**9,
            "end": now + 60 * 10**9,
            "limit": 5000,
        }
        url = f"{self.url('loki')}/loki/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
        return list(_data(url)["result"])

    def labels(self) -> list[str]:
        """The names of Loki's index labels."""
        return list(_data(f"{self.url('loki')}/loki/api/v1/labels"))

    def _start(self, name: str, command: list[str], env: dict[str, str], ready: str) -> None:
        server = Server(command, self.folder / f"{name}.log", env)
        self.servers[name] = server
        server.wait_ready(ready)


def _data(url: str) -> Any:
    body = get(url, ANSWER_S)
    assert body is not None, f"no answer from {re.sub('[?].*', '', url)}"
    return json.loads(body)["data"]
