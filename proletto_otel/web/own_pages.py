"""Pages of the application's own among the admin pages (`monitoring_pages=`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proletto_otel.core.errors import ConfigError
from proletto_otel.core.lazy_pattern import lazy_pattern

_PATH = lazy_pattern(r"/[a-z0-9][a-z0-9_-]{0,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringPage:
    """One page; it is shown to who may see the others, in their frame."""

    path: str
    """Below the prefix: `/queue`."""

    label: str
    """What the navigation calls it."""

    description: str
    """One sentence below the heading."""

    view: Callable[[], Any]
    """Called in the request. A mapping becomes a table, a list of mappings a table with one column
    per key, a text a paragraph, all escaped; `markupsafe.Markup` is shown as it is. The same
    value is the page's JSON."""

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path):
            raise ConfigError.of("path", self.path, "a slash and a short word: /queue")
        if not self.label.strip():
            raise ConfigError.of("label", self.label, "a word for the navigation")
