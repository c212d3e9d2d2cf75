"""An application with a page of its own that takes as long as the test wants."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flask import Flask

from proletto_otel import setup_telemetry
from proletto_otel.web.own_pages import MonitoringPage

GIVEN_UP_S = 120.0


def slow() -> list[dict[str, str]]:
    """Hold the store, as the slowest page does, until the file `release` is there."""
    folder = Path(os.environ["SLOW_PAGE"])
    with telemetry.components.store.transaction():
        (folder / "entered").touch()
        end = time.monotonic() + GIVEN_UP_S
        while not (folder / "release").exists() and time.monotonic() < end:
            time.sleep(0.02)
    return [{"slow": "page"}]


app = Flask("shop")
page = MonitoringPage(path="/slow", label="Slow", description="Takes long", view=slow)
telemetry = setup_telemetry(app, monitoring_pages=[page])
