"""What workers share besides metrics, by name: statistics of routes, callers, their own life."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.record import record
from proletto_otel.state.snapshot_files import Snapshot

Fold = Callable[[list[Any]], Any]


@record(frozen=True, slots=True, eq=False)
class Section:
    """Something other than metrics that workers share."""

    provider: Callable[[], Any]
    fold: Fold | None
    """Joins the values of dead processes into one; None: they are forgotten."""


class Sections(dict[str, Section]):
    """The sections of this process."""

    def text(self) -> bytes:
        """The present values as JSON; one that fails is absent."""
        values = {}
        for name, section in self.items():
            with suppressed(f"section.{name}"):
                values[name] = section.provider()
        return orjson.dumps(values)

    def of_all(self, name: str, others: Sequence[Snapshot]) -> list[Any]:
        """The values of one section: those of *others*, and this process's own, last."""
        found = [s.sections[name] for s in others if name in s.sections]
        with suppressed(f"section.{name}"):
            found.append(self[name].provider())
        return found

    def folded(self, dead: Sequence[Snapshot]) -> dict[str, Any]:
        """The values of *dead* processes, joined into one for each section that has a fold."""
        return {
            name: section.fold([s.sections[name] for s in dead if name in s.sections])
            for name, section in self.items()
            if section.fold is not None
        }
