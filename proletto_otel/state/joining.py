"""What one process published, and the histograms in its memory: each series once.

Histograms in memory are newer than the published copy of the same series, so the copy is skipped.
Memory holds no exemplars; those are taken from the copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from proletto_otel.core.metrics.registry import Attributes, Histogram, Point
from proletto_otel.state.published import Published, PublishedHistograms
from proletto_otel.state.shared_histograms import Record

InMemory = list[tuple[Record, Mapping[Any, Any]]]
"""Histograms in memory, and the exemplars that their process published last."""
NONE: Mapping[Any, Any] = {}


class Joiner:
    """Finds the published copies of the histograms in memory, for one process.

    Which they are hardly ever changes, so it is remembered, by the text of their attributes: of 50
    series it takes 2 µs to compare, and 40 to find each by its attributes.
    """

    def __init__(self) -> None:
        self._matched: dict[str, tuple[list[bytes], list[Record]]] = {}
        self._exemplars: dict[str, tuple[bytes, list[dict[str, Any]]]] = {}
        self._records: dict[str, dict[Attributes, Record]] = {}
        self._count = 0

    def join(
        self, families: Sequence[Published | PublishedHistograms], records: Sequence[Record]
    ) -> tuple[list[Published], InMemory]:
        """What was published and is not in memory, and what is in memory.

        Raises:
            ValueError, TypeError: a family is not as any release writes it.
        """
        if len(records) != self._count:  # they are only ever added
            self._remember(records)
        beside: list[Published] = []
        joined: InMemory = []
        for family in families:
            in_memory = self._records.get(family.head.name)
            if in_memory is None:
                beside.append(Published(family.head, family.points))
                continue
            points: list[Point] = []
            matched = self._match(family, in_memory)
            if matched is not None and isinstance(family, PublishedHistograms):
                joined.extend(zip(matched, self._exemplars_of(family), strict=True))
            else:
                points = _apart(family, in_memory, joined)
            # Also without points: pages show the families in the order of the text.
            beside.append(Published(family.head, points))
        if len(joined) < len(records):  # not published yet
            done = {id(record) for record, _ in joined}
            joined.extend((record, NONE) for record in records if id(record) not in done)
        return beside, joined

    def _remember(self, records: Sequence[Record]) -> None:
        found: dict[str, dict[Attributes, Record]] = {}
        for record in records:
            found.setdefault(record.head.name, {})[record.attributes] = record
        self._matched, self._records, self._count = {}, found, len(records)

    def _match(
        self, family: Published | PublishedHistograms, in_memory: Mapping[Attributes, Record]
    ) -> list[Record] | None:
        """The record of each series of *family*; None if not all of them are in memory."""
        if not isinstance(family, PublishedHistograms):
            return None
        known = self._matched.get(family.head.name)
        if known is None or known[0] != family.labels:
            found = [in_memory.get(attributes) for attributes in family.attributes]
            records = [record for record in found if record is not None]
            if len(records) < len(found):
                return None
            known = self._matched[family.head.name] = family.labels, records
        return known[1]

    def _exemplars_of(self, family: PublishedHistograms) -> list[dict[str, Any]]:
        """The exemplars of each series, by bucket; parsed again only when one changed."""
        text = family.exemplars
        known = self._exemplars.get(family.head.name)
        if known is None or known[0] != text:
            known = self._exemplars[family.head.name] = text, orjson.loads(text)
        return known[1]


def _apart(
    family: Published | PublishedHistograms,
    in_memory: Mapping[Attributes, Record],
    joined: InMemory,
) -> list[Point]:
    """The points that are not in memory; those that are go to *joined*."""
    points = []
    for point in family.points:
        record = in_memory.get(point.attributes)
        if record is not None and isinstance(point.value, Histogram):
            joined.append((record, point.value.exemplars))
        else:
            points.append(point)
    return points
