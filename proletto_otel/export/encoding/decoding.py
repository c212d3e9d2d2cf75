"""Protobuf read back, as far as tests need it: a message is its fields by number.

What the numbers mean is in OTLP's `.proto` files; `export.memory` uses them. Decoding needs no
package beside this one, so that `telemetry_capture` works wherever the library is installed.
"""

from __future__ import annotations

import struct
from collections import defaultdict

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class Message:
    """One encoded message.

    Args:
        data: Its bytes.

    Raises:
        ValueError: *data* is no protobuf message.
    """

    def __init__(self, data: bytes) -> None:
        self._numbers: dict[int, list[int]] = defaultdict(list)
        self._bytes: dict[int, list[bytes]] = defaultdict(list)
        at = 0
        while at < len(data):
            key, at = _varint(data, at)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, at = _varint(data, at)
                self._numbers[number].append(value)
                continue
            if kind == LENGTH:
                size, at = _varint(data, at)
            elif kind in (FIXED64, FIXED32):
                size = 8 if kind == FIXED64 else 4
            else:
                raise ValueError(f"wire type {kind} of field {number}")
            if at + size > len(data):
                raise ValueError(f"field {number} is cut")
            self._bytes[number].append(data[at : at + size])
            at += size

    def __contains__(self, number: int) -> bool:
        return number in self._numbers or number in self._bytes

    def integer(self, number: int) -> int:
        """A varint field, 0 when it is missing; negative ones take all 64 bits."""
        value = self._numbers[number][-1] if number in self._numbers else 0
        return value - (1 << 64) if value >> 63 else value

    def fixed(self, number: int) -> int:
        """A fixed64 field, 0 when it is missing."""
        return int.from_bytes(self.binary(number), "little")

    def double(self, number: int) -> float:
        """A double field, 0 when it is missing."""
        return float(struct.unpack("<d", self.binary(number) or bytes(8))[0])

    def binary(self, number: int) -> bytes:
        """A bytes field, empty when it is missing."""
        return self._bytes[number][-1] if number in self._bytes else b""

    def text(self, number: int) -> str:
        """A string field, empty when it is missing."""
        return self.binary(number).decode()

    def message(self, number: int) -> Message:
        """A message field, empty when it is missing."""
        return Message(self.binary(number))

    def messages(self, number: int) -> list[Message]:
        """A repeated message field."""
        return [Message(data) for data in self._bytes.get(number, ())]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at *at*, and where it ends."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("a number is cut")
