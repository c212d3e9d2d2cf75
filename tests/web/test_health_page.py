"""The page of health checks: of which time an uptime is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from proletto_otel.monitoring import monitor
from tests.web.dashboard import ADMIN, shop

pytestmark = pytest.mark.usefixtures("telemetry_capture")


def uptime(page: str) -> str:
    """What the page says of the first check's last day."""
    found = re.search(r"Up in 24 h</dt><dd>(.*?)</dd>", page)
    assert found is not None
    return re.sub(r"<.*?>", "", found[1])


def test_uptime_of_a_service_that_began_just_now() -> None:
    """The known time is a part of the sentence, as it is no day."""
    client = shop().test_client()
    page = client.get(f"{ADMIN}/health").text
    check = client.get(f"{ADMIN}/api/pages/health").get_json()["health"]["checks"][0]

    assert re.fullmatch(r"100 % of the \d+ s known", uptime(page)), uptime(page)
    assert 0 <= check["known_24h_s"] < 600


@pytest.mark.parametrize(
    ("share", "known_s", "said"),
    [
        (0.998, 10_800.0, "99.8 % of the 3 h known"),
        (0.998, 86_400.0, "99.8 %"),
        (0.5, 86_399.0, "50 %"),
        (None, 0.0, "–"),
    ],
)
def test_uptime_says_how_much_is_known(
    monkeypatch: pytest.MonkeyPatch, share: float | None, known_s: float, said: str
) -> None:
    """A whole day needs no more words, and nothing known is no number."""
    client = shop().test_client()
    health = monitor.get_health()
    checks = tuple(replace(c, uptime_24h=share, known_24h_s=known_s) for c in health.checks)
    monkeypatch.setattr(monitor, "get_health", lambda: replace(health, checks=checks))

    assert said == uptime(client.get(f"{ADMIN}/health").text)
