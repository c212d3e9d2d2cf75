"""Export requests: the OTLP envelope around items, opened again to split it or read answers.

The items come from `export.encoding.otlp`; who sends them is `export.export_thread`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from proletto_otel.export.encoding.protobuf import attribute, field, fields, text, varint

LONG = 2048
"""Bytes from which an item is longer than most."""
# Tags are a field's number times eight plus 2, "has a length": 0x0a is field 1, 0x12 field 2, 0x1a
# field 3. In all three requests resource, scope and items have the same numbers.
_scope_attribute = attribute(b"\x1a")


class _Tags(dict[int, bytes]):
    """Field number and length of an item, kept by its length unless it is longer than most."""

    def __missing__(self, size: int) -> bytes:
        made = b"\x12" + varint(size)
        if size < LONG:
            self[size] = made
        return made


_TAGS = _Tags()


@lru_cache(256)
def scope(
    name: str, version: str = "", schema_url: str = "", values: tuple[Any, ...] = ()
) -> bytes:
    """An instrumentation scope, ready for `request`; *values* are (key, value) pairs."""
    content = field(b"\x0a", text(name))
    if version:
        content += field(b"\x12", text(version))
    content += b"".join([_scope_attribute(k, v) for k, v in values])
    tail = field(b"\x1a", text(schema_url)) if schema_url else b""
    return tail + field(b"\x0a", content)


def any_scope(found: Any) -> bytes:
    """The scope of an SDK span, or nothing."""
    if found is None:
        return b""
    values = tuple(sorted((found.attributes or {}).items(), key=str))
    return scope(found.name, found.version or "", found.schema_url or "", values)


def request(resource: bytes, groups: Iterable[tuple[bytes, Sequence[bytes]]]) -> bytes:
    """An export request of spans, log records or metrics: the three have the same shape.

    Args:
        resource: Joined fragments of `resource_attribute`.
        groups: Items by their `scope`.
    """
    content = [field(b"\x0a", resource)]
    for scope_bytes, items in groups:
        # `map` over C functions: a loop in Python over a batch of 512 items would hold the
        # interpreter while requests wait (the stock encoder stops them for 10 to 25 ms a batch).
        tags = list(map(_TAGS.__getitem__, map(len, items)))
        size = len(scope_bytes) + sum(map(len, tags)) + sum(map(len, items))
        content += (b"\x12" + varint(size), scope_bytes)
        content += chain.from_iterable(zip(tags, items, strict=True))
    # Joined once, the outer lengths included: each further `+` would copy hundreds of kilobytes.
    return b"".join((b"\x0a" + varint(sum(map(len, content))), *content))


def halves(body: bytes) -> tuple[tuple[bytes, int], tuple[bytes, int]]:
    """Split an export request in two, each with its number of items (a server found it too big).

    Raises:
        ValueError: if *body* is no export request.
    """
    resource, groups = _parse(body)
    flat = [(scope_bytes, item) for scope_bytes, items in groups for item in items]
    middle = len(flat) // 2
    first, second = flat[:middle], flat[middle:]
    return (
        (request(resource, [(s, [i]) for s, i in first]), len(first)),
        (request(resource, [(s, [i]) for s, i in second]), len(second)),
    )


def _parse(body: bytes) -> tuple[bytes, list[tuple[bytes, list[bytes]]]]:
    resource, groups = b"", []
    for _, _, whole in fields(body):
        for number, _, content in fields(whole):
            if number == 1:
                resource = content
            elif number == 2:
                # Field 2 of a scope's group is an item; the others (scope, schema URL) stay as they
                # are. Every field there has a length: wire type 2.
                head, items = b"", []
                for inner, _, part in fields(content):
                    if inner == 2:
                        items.append(part)
                    else:
                        head += field(bytes((inner << 3 | 2,)), part)
                groups.append((head, items))
    return resource, groups


def rejected(answer: bytes) -> tuple[int, str]:
    """What a partial success says: how many items were refused, and why."""
    try:
        for number, _, content in fields(answer):
            if number == 1:
                found = {n: (value, part) for n, value, part in fields(content)}
                count, why = found.get(1, (0, b""))[0], found.get(2, (0, b""))[1]
                return count, why.decode("utf-8", "replace")
    except ValueError:  # an answer that is not protobuf says nothing
        pass
    return 0, ""
