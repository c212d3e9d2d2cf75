"""Something other than metrics that workers share in their snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Fold = Callable[[list[Any]], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One of them."""

    provider: Callable[[], Any]
    fold: Fold | None
    """Joins the values of dead processes into one; None: they are forgotten."""
