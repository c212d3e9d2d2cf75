"""Fresh trace and span IDs from a generator of our own, seeded anew in every process.

The application's `random.seed(...)` cannot make two requests share an ID.
"""

from __future__ import annotations

import os
import random

# Not the module's functions: they share the generator that an application may seed. Not
# `os.urandom`: a system call for each request.
_random = random.Random()
_bits = _random.getrandbits


def reseed() -> None:
    """Take new entropy; a forked child would otherwise repeat its siblings' IDs."""
    _random.seed()


os.register_at_fork(after_in_child=reseed)


def new_ids() -> tuple[str, str]:
    """A trace ID (32 hex digits) and a span ID (16 hex digits)."""
    # One call for both, 0.26 µs; `uuid4().hex` alone takes 1.7
    digits = f"{_bits(192):048x}"
    return digits[:32], digits[32:]


def new_trace_id() -> str:
    """A trace ID, 32 hex digits."""
    return f"{_bits(128):032x}"


def new_span_id() -> str:
    """A span ID, 16 hex digits."""
    return f"{_bits(64):016x}"


class IdGenerator:
    """The same source in the shape the SDK asks for."""

    def generate_trace_id(self) -> int:
        """A trace ID that is not zero."""
        return _bits(128) or 1

    def generate_span_id(self) -> int:
        """A span ID that is not zero."""
        return _bits(64) or 1

    def is_trace_id_random(self) -> bool:
        """Every bit is random (W3C trace context, level 2)."""
        return True
