"""A payload: one export request, compressed or not, with the number of items in it.

What goes to the network and what goes to disk is the same payload; `export.spool.spool` keeps it.
"""

from __future__ import annotations

import zlib

from proletto_otel.core.record import record
from proletto_otel.export.encoding import envelope

GZIP = "gzip"
_LEVEL = 1
"""One microsecond a span for a tenth of the bytes; higher levels cost more than they save."""
_WITH_HEADER = 31
"""zlib's window bits for the gzip format."""
MAX_UNPACKED = 64_000_000
"""Bytes a payload may unpack to; ours stay below 4 MB."""


@record(frozen=True, slots=True)
class Payload:
    """One export request, ready to be sent."""

    body: bytes
    """Protobuf, compressed as `encoding` says."""

    items: int
    """Spans or log records in it; 1 for a request of metrics."""

    encoding: str = ""
    """`gzip`, or empty."""

    @classmethod
    def of(cls, request: bytes, items: int, encoding: str) -> Payload:
        """Wrap an encoded request."""
        if encoding != GZIP:
            return cls(request, items)
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WITH_HEADER)
        return cls(packer.compress(request) + packer.flush(), items, GZIP)

    def request(self) -> bytes:
        """The request as it was encoded.

        Raises:
            ValueError: if the body is not what `encoding` says.
        """
        if self.encoding != GZIP:
            return self.body
        try:
            # Bounded: a file on disk may be damaged, or somebody else's.
            return zlib.decompressobj(_WITH_HEADER).decompress(self.body, MAX_UNPACKED)
        except zlib.error as error:
            raise ValueError(str(error)) from error

    def halves(self) -> list[Payload]:
        """The same items in two payloads; none when there is nothing to split."""
        if self.items < 2:
            return []
        try:
            parts = envelope.halves(self.request())
        except ValueError:
            return []
        # A file's name says how many records it holds; when its content disagrees, splitting would
        # count records that never were.
        if sum(count for _, count in parts) != self.items:
            return []
        return [Payload.of(body, count, self.encoding) for body, count in parts]
