"""The parts of a process: what is sent, and what is known before anybody leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from proletto_otel.core.config import load
from proletto_otel.setup import doubles
from proletto_otel.setup.components import Components, sends_logs, sends_traces


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({}, (True, True)),
        ({"traces_exporter": "none"}, (False, True)),
        ({"logs_exporter": "none"}, (True, False)),
        ({"sdk_disabled": True}, (False, False)),
    ],
)
def test_each_signal_can_be_switched_off(
    arguments: dict[str, object], sent: tuple[bool, bool]
) -> None:
    """One signal by its exporter, all of them by `OTEL_SDK_DISABLED`."""
    config, _ = load(arguments, {}, {})

    assert sent == (sends_traces(config), sends_logs(config))


def test_host_is_measured_while_nobody_leads(tmp_path: Path) -> None:
    """A script asks for the host's values: they are there, although no worker publishes them."""
    config, _ = load({"log_dir": str(tmp_path)}, {}, {})
    components = Components(config, doubles.TestDoubles())
    values = components.host_system()
    components.close()

    assert values["memory_percent"]
    assert values["disk_percent"]
