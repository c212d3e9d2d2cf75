"""What sends data out of the process, as arguments of the set-up: tests replace it.

`setup.telemetry.use_test_doubles` sets them; without tests the real ones are made here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from proletto_otel.core.config import Config
from proletto_otel.core.metrics.push import MetricSource
from proletto_otel.core.record import record
from proletto_otel.export.resource import Resource

if TYPE_CHECKING:
    from proletto_otel.export.exporter import OtlpExporter
    from proletto_otel.export.memory import MemoryExporter

SendSlack = Callable[..., None]
SendEmail = Callable[[str, str, tuple[str, ...]], None]


def _exporter(
    config: Config, state: Path | None, resource: Resource, source: MetricSource
) -> OtlpExporter:
    from proletto_otel.export.exporter import OtlpExporter

    exporter = OtlpExporter(config, state, resource=resource)
    exporter.metrics(source)
    exporter.observe()
    return exporter


def _slack(config: Config) -> SendSlack | None:
    if not (config.slack_webhook_url or config.slack_bot_token):
        return None
    from proletto_otel.notify.slack.client import SlackClient

    return SlackClient.of(config)


@record(frozen=True, eq=False, repr=False)
class TestDoubles:
    """What sends data out of the process, so that tests can replace it."""

    exporter: Callable[
        [Config, Path | None, Resource, MetricSource], OtlpExporter | MemoryExporter
    ] = _exporter
    """Makes the OTLP exporter."""

    slack: Callable[[Config], SendSlack | None] = _slack
    """Makes what posts to Slack; None when it is not configured."""

    email: Callable[[Config], SendEmail | None] = lambda _: None
    """Makes what takes alert emails (subject, text, receivers) instead of the mail server."""

    is_test: bool = False
    """Whether open responses are remembered, for `Telemetry.settle`."""
