"""A request for an admin page, and who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from proletto_otel.web import ranges
from proletto_otel.web.site import Site
from proletto_otel.web.visitor import Visitor

ALL = "all"
"""Value of the parameter `hosts` that asks for all of them."""
FAILED = "failed"
"""Value of the parameter `without`."""


@dataclass(kw_only=True, eq=False)
class Asked:
    """One request for an admin page, and who asks."""

    site: Site
    visitor: Visitor
    query: Mapping[str, str]
    """The parameters of the address."""

    @property
    def all_hosts(self) -> bool:
        """Whether the address asks for all hosts, where a page can show them."""
        return self.query.get("hosts") == ALL

    @property
    def without_failed(self) -> bool:
        """Whether the address asks for durations of those requests alone that did not fail."""
        return self.query.get("without") == FAILED

    @cached_property
    def range(self) -> ranges.Range:
        """The time range that the address asks for."""
        return ranges.chosen(self.query, last_deploy=lambda: self.site.past.last_deploy())
