"""Which series of several processes belong together: one for each name and its attributes.

How they become one number lives in `state.adding`; where the numbers are stored, and which process
is alive: `state.snapshots`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from proletto_otel.core.conventions import OVERFLOW, PROCESS_PID, TELEMETRY_SPOOLED
from proletto_otel.core.metrics.registry import MAX_CELLS, Attributes, Family, Point, are_same
from proletto_otel.state.adding import Add, Parts, Reading, added, total, total_not_below
from proletto_otel.state.joining import InMemory
from proletto_otel.state.snapshot_files import Snapshot

OVERFLOW_ATTRIBUTES: Attributes = ((OVERFLOW, True),)
OUTLIVES = frozenset({TELEMETRY_SPOOLED.name})
"""Up-down counts that stay true after their process died: what it left on disk."""
MAX_KNOWN = 4000
"""Parts of histograms that are kept, 0.3 KB each: those of eight workers with 500 series."""
Known = dict[str, dict[Attributes, tuple[Parts, Point]]]
"""What histograms came to the last time, by name and attributes, and what they were made of."""


def lasts(kind: str, name: str) -> bool:
    """Whether a dead process's numbers still count: its totals do, its gauges do not."""
    return kind in ("counter", "histogram") or name in OUTLIVES


class Sum:
    """Adds families up; of values that cannot be added (gauges) the first one stays."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._parts: dict[str, dict[Attributes, Parts]] = {}
        self.known: Known = {}
        """What the histograms of `families` came to."""
        self._held = 0

    def take(self, families: Iterable[Family], pid: int) -> None:
        """Add the families of this process, *pid*."""
        for family in families:
            self._take(family, family.points, pid)

    def take_others(self, snapshots: Sequence[Snapshot]) -> None:
        """Add what other processes published, and what the histograms in their memory say now.

        Of dead ones only totals count. Of gauges that stand for the host the first one stays.
        """
        for other in snapshots:
            pid = other.pid if other.lives else None
            for family in other.families:
                if family.head.kind == "gauge" and pid is not None:
                    self._take(family.head, family.points, pid)
        # By name, where the order does not matter: so that the parts of a sum come in the order of
        # the last one, and are found to be the same.
        for other in sorted(snapshots, key=attrgetter("name")):
            pid = other.pid if other.lives else None
            for family in other.families:
                head = family.head
                if head.kind != "gauge" and (pid is not None or lasts(head.kind, head.name)):
                    self._take(head, family.points, pid)
            self._take_memory(other.in_memory)

    def _take_memory(self, histograms: InMemory) -> None:
        head: Family | None = None
        series: dict[Attributes, Parts] = {}
        for record, exemplars in histograms:
            if record.head is not head:
                head, series = record.head, self._of(record.head)
            reading = Reading(record, record.read(), exemplars)
            series.setdefault(record.attributes, []).append(reading)

    def families(self, before: Known | None = None, add: Add = total) -> list[Family]:
        """What was added up, as families.

        Args:
            before: `known` of an earlier sum: what did not change since is not added again.
            add: Adds floats up.
        """
        self.known, self._held = {}, 0
        return [
            Family(name, f.kind, f.unit, f.description, self._points(f, before or {}, add), f.per)
            for name, f in self._families.items()
        ]

    def _points(self, family: Family, before: Known, add: Add) -> list[Point]:
        series = self._parts[family.name]
        if family.kind != "histogram":
            return [added(key, parts, add) for key, parts in series.items()]
        found, known = before.get(family.name, {}), self.known.setdefault(family.name, {})
        points = []
        for key, parts in series.items():
            if len(parts) == 1 and isinstance(parts[0], Point):
                points.append(parts[0])
                continue
            same = found.get(key)
            if same is None or same[0] != parts:
                same = parts, added(key, parts, add)
            points.append(same[1])
            held = self._held + len(parts)
            if held <= MAX_KNOWN:
                self._held, known[key] = held, same
        return points

    def _take(self, head: Family, points: list[Point], pid: int | None) -> None:
        suffix = _suffix(head.kind, head.per, pid)
        if suffix:
            points = [Point(p.attributes + suffix, p.value, p.start_ns) for p in points]
        series, is_gauge = self._of(head), head.kind == "gauge"
        if not series:  # nobody had it before: most families, where there is one worker
            series.update({point.attributes: [point] for point in points})
            if len(series) == len(points):
                return
            series.clear()
        for point in points:
            held = series.get(point.attributes)
            if held is None:
                series[point.attributes] = [point]
            elif not is_gauge:  # two values of a gauge have no sum: the first one stays
                held.append(point)

    def _of(self, family: Family) -> dict[Attributes, Parts]:
        self._families.setdefault(family.name, family)
        return self._parts.setdefault(family.name, {})


class Alone:
    """The families of one process that nothing is added to, as `Sum` would give them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[Point], list[Family]]] = {}

    def families(self, own: Sequence[Family], pid: int) -> list[Family]:
        """What `Sum` makes of *own*; a family whose points are the same as before is kept."""
        # By identity, in C: 17,000 instructions for 54 series that stand still; finding each by its
        # attributes takes 137,000.
        known: dict[str, tuple[list[Point], list[Family]]] = {}
        for family in own:
            if family.name in known:  # a second one of the name: they are added up
                total = Sum()
                total.take(own, pid)
                return total.families()
            found = self._known.get(family.name)
            if found is None or not are_same(found[0], family.points):
                total = Sum()
                total.take((family,), pid)
                found = family.points, total.families()
            known[family.name] = found
        self._known = known
        return [family for _, families in known.values() for family in families]


def _suffix(kind: str, per: str, pid: int | None) -> Attributes:
    """What is not added up stands side by side: each carries the pid of its process."""
    side_by_side = per == "process" or (kind == "gauge" and per == "worker")
    return ((PROCESS_PID, pid),) if side_by_side and pid else ()


def bounded(families: Iterable[Family]) -> list[Family]:
    """Cut the numbers of dead processes to the limit of an instrument; the rest is one series."""
    return [_bounded(f) if len(f.points) > MAX_CELLS else f for f in families]


def _bounded(family: Family) -> Family:
    series: dict[Attributes, Parts] = {}
    for point in family.points:
        # as `core.metrics.registry` does within one process: no count is lost, only its labels
        is_beyond = len(series) >= MAX_CELLS and point.attributes not in series
        series.setdefault(OVERFLOW_ATTRIBUTES if is_beyond else point.attributes, []).append(point)
    points = [
        replace(added(attributes, parts, total_not_below), attributes=attributes)
        for attributes, parts in series.items()
    ]
    return replace(family, points=points)
