"""The text in which a process publishes its families, and what others read of it.

It is one JSON document, `[families, sections]`. Line breaks, which JSON allows between values and
never has within one, stand where a reader takes it apart without parsing it:

    [[FAMILY,
                        an empty line after each family
    FAMILY],

    SECTIONS]

A family of numbers is one line, `[name,kind,unit,description,per,[[attributes,number,start],…]]`.
One of histograms is a line for all of them and four for each:

    ["http.server.request.duration","histogram","s","…","worker",[[
    ATTRIBUTES
    ,[bounds,counts,sum,minimum,maximum,
    EXEMPLARS
    ],start],[          after the last one: ],start]]]

The counts of a process on the same machine are read from its memory (`state.shared_histograms`);
then two lines of the four are needed, and the long one with the counts is not parsed. What was
written by an earlier release, without line breaks, is read as well.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import orjson

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.internal_errors import suppressed
from proletto_otel.core.metrics.registry import (
    Attributes,
    Exemplar,
    Family,
    Histogram,
    Point,
    are_same,
)
from proletto_otel.core.record import record

Plain = list[Any]
"""A family as JSON carries it: name, kind, unit, description, per, points."""
FIELDS = 6
SEPARATOR = b",\n\n"
LINES = 4
"""Lines of a histogram: attributes, counts, exemplars, start."""
MAX_ATTRIBUTES = 4000
"""Texts of attributes in the cache, 0.6 KB each; the series of two full instruments."""
MAX_HEADS = 1000


# --- writing -----------------------------------------------------------------------------------
def dump(families: Iterable[Family]) -> list[Plain]:
    """Families as lists that JSON can carry."""
    return [[*_head(f), [_dump_point(p) for p in f.points]] for f in families]


def _head(f: Family) -> Plain:
    return [f.name, f.kind, f.unit, f.description, f.per]


def _dump_point(point: Point) -> Plain:
    v = point.value
    value: Any = v
    if isinstance(v, Histogram):
        value = [v.bounds, v.counts, v.sum, v.min, v.max, _dump_exemplars(v)]
    return [point.attributes, value, point.start_ns]


def _dump_exemplars(histogram: Histogram) -> dict[str, Exemplar]:
    # JSON has no integer keys
    return {str(bucket): exemplar for bucket, exemplar in histogram.exemplars.items()}


class Writer:
    """Makes the text of each family; that of one whose points are the same as before is kept."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[Point], bytes]] = {}

    def texts(self, families: Iterable[Family]) -> list[bytes]:
        """The text of each family; one that cannot be written costs itself alone."""
        known: dict[str, tuple[list[Point], bytes]] = {}
        texts: list[bytes] = []
        for family in families:
            found = self._known.get(family.name)
            if found is None or not are_same(found[0], family.points):
                with suppressed("snapshots.write"):
                    found = family.points, _text(family)
            if found is not None:
                known[family.name] = found
                texts.append(found[1])
        self._known = known
        return texts


def _text(family: Family) -> bytes:
    values = [point.value for point in family.points]
    if not values or not all(isinstance(value, Histogram) for value in values):
        return orjson.dumps(dump([family])[0])
    points = []
    for point in family.points:
        v = point.value
        assert isinstance(v, Histogram)  # all of them are
        numbers = orjson.dumps([v.bounds, v.counts, v.sum, v.min, v.max])[:-1]
        attributes, exemplars = orjson.dumps(point.attributes), orjson.dumps(_dump_exemplars(v))
        points.append(b"%b\n,%b,\n%b\n],%d" % (attributes, numbers, exemplars, point.start_ns))
    head = orjson.dumps([*_head(family), []])[:-3]
    return b"%b[[\n%b]]]" % (head, b"],[\n".join(points))


def document(families: list[bytes], sections: bytes) -> bytes:
    """The whole text."""
    return b"[[%b],\n\n%b]" % (SEPARATOR.join(families), sections)


# --- reading -----------------------------------------------------------------------------------
@record(slots=True, eq=False)
class Published:
    """A family that somebody published, parsed."""

    head: Family
    """Without points."""
    points: list[Point]


class PublishedHistograms:
    """A family of histograms of which only the head is parsed, until asked.

    Raises:
        ValueError: it is not as `Writer` writes it.
    """

    __slots__ = ("_lines", "_text", "head", "labels")

    def __init__(self, text: bytes) -> None:
        self._text, self._lines = text, text.split(b"\n")
        if len(self._lines) % LINES != 1:
            raise ValueError("lines of a family of histograms are missing")
        self.head = _head_lines[self._lines[0]]
        self.labels = self._lines[1::LINES]
        """The attributes of each, as text."""

    @property
    def attributes(self) -> list[Attributes]:
        """The attributes of each."""
        return [_attributes[text] for text in self.labels]

    @property
    def exemplars(self) -> bytes:
        """The exemplars of each by bucket, as the text of one list."""
        return b"[%b]" % b",".join(self._lines[3::LINES])

    @property
    def points(self) -> list[Point]:
        """All of them, parsed."""
        return parsed(orjson.loads(self._text)).points


class Reader:
    """Reads the families of one process; the numbers in a line that did not change are kept."""

    def __init__(self) -> None:
        self._known: dict[bytes, Published] = {}

    def read(self, body: bytes) -> tuple[list[Published | PublishedHistograms], bytes]:
        """The families in *body*, and the text of its sections.

        Raises:
            ValueError, TypeError: it is nothing that a process publishes.
        """
        families, separator, sections = body.rpartition(SEPARATOR)
        if not separator:
            plain, whole = orjson.loads(body)
            return [parsed(family) for family in plain], orjson.dumps(whole)
        known: dict[bytes, Published] = {}
        found: list[Published | PublishedHistograms] = []
        for text in families[2:-1].split(SEPARATOR) if len(families) > 3 else ():
            if b"\n" in text:
                found.append(PublishedHistograms(text))
            else:
                family = self._known.get(text)
                if family is None:
                    family = parsed(orjson.loads(text))
                known[text] = family
                found.append(family)
        self._known = known
        return found, sections[:-1]


def parsed(plain: Plain) -> Published:
    """A family out of JSON.

    Raises:
        ValueError, TypeError: another release wrote it, or something else.
    """
    if len(plain) != FIELDS:
        raise ValueError("written by another release")
    *head, points = plain
    return Published(heads[tuple(head)], [_point(*point) for point in points])


def _point(attributes: list[list[Any]], value: Any, start_ns: int) -> Point:
    if value is None:  # JSON has neither infinity nor NaN
        value = math.nan
    elif isinstance(value, list):
        bounds, counts, total, low, high, exemplars = value
        if len(counts) != len(bounds) + 1:
            raise ValueError("a histogram has one count more than bounds")
        found: dict[int, Exemplar] = {int(bucket): e for bucket, e in exemplars.items()}
        total = math.nan if total is None else total
        value = Histogram(tuple(bounds), counts, total, sum(counts), low, high, found)
    return Point(pairs(attributes), value, start_ns)


def pairs(attributes: Iterable[Iterable[Any]]) -> Attributes:
    """Attributes out of JSON; texts that many series share are in memory once."""
    return tuple(
        (sys.intern(name), sys.intern(value) if type(value) is str else value)
        for name, value in attributes
    )


def _parsed_head(line: bytes) -> Family:
    *head, _ = orjson.loads(line.removesuffix(b"[[") + b"[]]")
    return heads[tuple(head)]


def _made_head(head: tuple[str, str, str, str, str]) -> Family:
    name, kind, unit, description, per = head
    return Family(name, kind, unit, description, [], per)


heads: BoundedCache[Family] = BoundedCache(_made_head, MAX_HEADS)
"""Families without points, by name, kind, unit, description and per."""
_head_lines: BoundedCache[Family] = BoundedCache(_parsed_head, MAX_HEADS)
_attributes: BoundedCache[Attributes] = BoundedCache(
    lambda line: pairs(orjson.loads(line)), MAX_ATTRIBUTES
)
