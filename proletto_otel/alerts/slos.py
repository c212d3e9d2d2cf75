"""Service level objectives: which share of requests must be good, over which time.

They are judged where weeks of data are, in Prometheus; the rules come from `stack.slo_rules`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from proletto_otel.core.conventions import SECONDS_BOUNDS
from proletto_otel.core.errors import ConfigError

AVAILABILITY = "availability"
LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """One objective."""

    name: str
    """What messages and dashboards call it: `availability`, `checkout-speed`."""

    objective: float = 0.999
    """The share of good requests, above 0 and below 1."""

    sli: str = AVAILABILITY
    """`availability`: a 5xx is bad. `latency`: slower than `latency_threshold`, or a 5xx, is."""

    latency_threshold: float | None = None
    """Seconds; an edge of the histogram's buckets. Only for `latency`."""

    route: str = ""
    """Only requests of this route (`/orders/<int:order_id>`); empty: all but probes and admin."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z][\w-]{0,39}", self.name):
            raise ConfigError.of("name", self.name, "A-Z or a-z, then up to 39 of A-Z a-z 0-9 _ -")
        objective: Any = self.objective
        number = isinstance(objective, (int, float)) and not isinstance(objective, bool)
        if not number or not 0 < objective < 1:
            raise ConfigError.of("objective", objective, "a number between 0 and 1")
        if self.sli not in (AVAILABILITY, LATENCY):
            raise ConfigError.of("sli", self.sli, f"{AVAILABILITY} or {LATENCY}")
        # Requests below an edge of a bucket are counted exactly; between two edges the share of
        # good requests would be a guess.
        edges = ", ".join(f"{edge:g}" for edge in SECONDS_BOUNDS)
        if self.sli == LATENCY and self.latency_threshold not in SECONDS_BOUNDS:
            raise ConfigError.of("latency_threshold", self.latency_threshold, f"one of {edges}")
        if self.sli == AVAILABILITY and self.latency_threshold is not None:
            raise ConfigError.of("latency_threshold", self.latency_threshold, "sli='latency'")
        # the route is written into a PromQL string: these characters would end it
        if not isinstance(self.route, str) or re.search(r'["\\\n]', self.route):
            raise ConfigError.of("route", self.route, "a route of the application")

    @property
    def budget(self) -> float:
        """The share of requests that may be bad."""
        return 1 - self.objective
