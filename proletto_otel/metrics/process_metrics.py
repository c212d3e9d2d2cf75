"""Every number of this process in one list: own cells and the instruments of the application."""

from __future__ import annotations

from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.registry import Family, Registry
from proletto_otel.metrics.app_metrics import AppMetrics


class Source:
    """Joins both; a name of ours cannot be taken by the application."""

    def __init__(self, registry: Registry, user: AppMetrics) -> None:
        self._registry = registry
        self._user = user

    def families(self) -> list[Family]:
        """All families of this process now."""
        own = self._registry.collect()
        taken = {family.name for family in own}
        found = list(own)
        for family in self._user.collect():
            # Ours stays: alerts and dashboards read it.
            if family.name in taken:
                log_rate_limited(
                    f"metric:{family.name}",
                    "metric %s is measured by proletto_otel already: the application's instrument"
                    " of that name is left out; give it another name",
                    family.name,
                )
            elif family.points:
                found.append(family)
        return found
