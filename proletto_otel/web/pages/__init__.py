"""The admin pages as data: path, label, description, what they read, how they look.

One module per page reads what it shows (`read`); its template has the same name. What `read`
returns is the page's JSON as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proletto_otel.web.asked import Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminPage:
    """One page."""

    path: str
    """Below the prefix."""

    name: str
    label: str
    """What the navigation calls it; also the heading."""

    description: str
    """The question it answers."""

    read: Callable[..., Mapping[str, Any] | None]
    """Called with the request and what the path captured; None: there is nothing of that name."""

    template: str
    server: str = ""
    """What the page asks about all hosts, as `all_hosts.servers` calls it; empty: nothing."""

    key: str = ""
    """Key after `g` that goes there."""

    in_navigation: bool = True
    interval_s: float = 15
    """How often the page asks for new values; 0: never."""


def listed(asked: Asked, name: str, default: int = 50, most: int = 200) -> int:
    """The number *name* of the address, from 1 to *most*."""
    try:
        return min(max(int(asked.query.get(name, default)), 1), most)
    except ValueError:
        return default
