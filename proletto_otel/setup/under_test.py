"""Telemetry while a program's own tests run: by default it writes, sends and prints nothing.

Requests have IDs, errors are counted and pages answer as ever; what a setting asks for is done
(`LOG_DIR` asks for files, `OTEL_EXPORTER_OTLP_ENDPOINT` for OTLP). `telemetry_capture` is the way
to see what would have been written. `PROLETTO_UNDER_TEST=normal` makes tests like production.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from proletto_otel.core import internal_errors
from proletto_otel.core.config import Config

FILES = ("log_files", "log_dir")
OTLP = ("otlp_endpoint",)
ASKED_BY: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("log_console", False, ("log_console",)),
    ("log_files", False, FILES),
    ("in_memory", True, (*FILES, "state_dir")),
    ("traces_exporter", "none", ("traces_exporter", "otlp_traces_endpoint", *OTLP)),
    ("metrics_exporter", "none", ("metrics_exporter", "otlp_metrics_endpoint", *OTLP)),
    ("logs_exporter", "none", ("logs_exporter", "otlp_logs_endpoint", *OTLP)),
)
"""A setting, its value under test, and the settings that ask for what it switches off.

Slack, email, webhook and database have no default: they are used only when they are configured.
"""


def runs(is_testing_app: bool) -> bool:
    """Whether a program's tests run here: under pytest, or of an application with `TESTING`.

    A server that a test starts as a process of its own is no test: pytest is not loaded there.
    """
    # Both: the module alone is imported by plugins, and the variable alone is inherited by every
    # process that a test starts.
    under_pytest = "_pytest.config" in sys.modules and bool(
        {"PYTEST_VERSION", "PYTEST_CURRENT_TEST"} & os.environ.keys()
    )
    return under_pytest or is_testing_app


def quiet(config: Config) -> Config:
    """*config* without the ways out that nobody asked for."""
    # under the project's own tests everything is at work
    if config.under_test == "normal" or internal_errors.strict:
        return config
    changes = {
        name: value for name, value, asking in ASKED_BY if config.configured.isdisjoint(asking)
    }
    return config.changed(**changes)


def captured(config: Config) -> Config:
    """*config* with every signal on, for `telemetry_capture`: no setting hides one."""
    return config.changed(
        sdk_disabled=False,
        traces_exporter="otlp",
        metrics_exporter="otlp",
        logs_exporter="otlp",
    )
