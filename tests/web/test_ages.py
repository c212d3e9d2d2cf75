"""Values that were not measured for the page carry their age and are marked when stale."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from proletto_otel.core.metrics.registry import Registry
from proletto_otel.metrics.system_metrics import SystemSampler, measure
from proletto_otel.monitoring import monitor
from proletto_otel.web.pages import ages
from proletto_otel.web.pages.ages import age
from proletto_otel.web.site import Site
from tests.waiting import PATIENCE_S, until
from tests.web.dashboard import ADMIN, shop

pytestmark = pytest.mark.usefixtures("telemetry_capture")


def fresh_page_of(app: Flask, path: str) -> tuple[str, Any]:
    """A page that a busy machine may need longer for than a value is fresh."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ages, "LEAST_S", PATIENCE_S)
        return page_of(app, path)


def page_of(app: Flask, path: str) -> tuple[str, Any]:
    """A page and its JSON."""
    client = app.test_client()
    return client.get(f"{ADMIN}/{path}").text, client.get(f"{ADMIN}/api/pages/{path}").json


def sampled(app: Flask, seconds_ago: float) -> None:
    """The leader's sample of the host is so old."""
    site: Site = app.extensions["proletto_monitoring"]
    registry = Registry()
    sampler = SystemSampler(now=lambda: time.time() - seconds_ago)
    sampler.sample()
    measure(registry, sampler, lambda: True)
    site.families = registry.collect


@pytest.mark.parametrize(("seconds", "is_stale"), [(0, False), (100, True)])
def test_system_metrics(seconds: float, is_stale: bool) -> None:
    """The host is sampled every five seconds: what is three of them old is stale."""
    app = shop()
    sampled(app, seconds)
    html, data = (page_of if is_stale else fresh_page_of)(app, "system")

    assert seconds <= data["age"]["age_s"]
    assert is_stale is data["age"]["is_stale"]
    assert ('class="state warning">stale' in html) is is_stale
    assert ', <time datetime="' in html.partition('class="now">')[2].partition("</p>")[0]


def test_checks_and_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check says when it ran, the thresholds when they were compared."""
    app = shop()
    until(lambda: monitor.get_alerts() and all(a.evaluated_at for a in monitor.get_alerts()))
    html, data = fresh_page_of(app, "alerts")
    assert data["age"]["is_stale"] is False
    assert "Compared <time" in html

    found = monitor.get_health()
    old = replace(found.checks[0], checked_at=time.time() - 1000)
    monkeypatch.setattr(monitor, "get_health", lambda: replace(found, checks=(old,)))
    html, data = page_of(app, "health")
    assert data["ages"][old.name]["is_stale"]
    assert 'class="state warning">stale' in html


def test_workers() -> None:
    """A worker whose values do not come any more is marked, and since when."""
    app = shop()
    site: Site = app.extensions["proletto_monitoring"]
    html, data = fresh_page_of(app, "telemetry")
    assert [os.getpid()] == [worker["pid"] for worker in data["workers"]]
    assert data["workers"][0]["age"]["is_stale"] is False
    assert "values from" not in html

    site.published = lambda: {os.getpid(): time.time() - 100}
    html, data = page_of(app, "telemetry")
    assert data["workers"][0]["age"]["is_stale"]
    assert "values from <time" in html


def test_what_is_not_known_has_no_age() -> None:
    """Nothing is invented; a clock that was put back makes no negative age."""
    assert None is age(None, 5)
    assert None is age(0, 5)
    made = age(time.time() + 100, 5)
    assert made is not None
    assert (0.0, False) == (made.age_s, made.is_stale)
