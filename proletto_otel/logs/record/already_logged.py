"""Which exceptions were logged already (one failure is one record), and the fingerprint of errors
that have no exception.

The fingerprint of an exception lives in `core.exceptions`.
"""

from __future__ import annotations

import time
from hashlib import blake2b

from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.core.context import RequestContext, current_request
from proletto_otel.core.lazy_pattern import lazy_pattern
from proletto_otel.logs.record.record import Record

_MARK = "__proletto_reported__"
MEMORY_S = 1.0
"""How long a mark holds outside a request: longer than the way from an inner handler to an outer
one, short enough that an exception object raised again and again is logged again."""
_VARYING = lazy_pattern(r"0x[0-9a-fA-F]+|[0-9a-fA-F-]{16,}|\d+")
MAX_FINGERPRINTS = 4096


def mark_logged(error: BaseException, context: RequestContext | None) -> None:
    """Remember that *error* was logged."""
    if context is not None:
        context.error = error
    try:
        # On the exception: a set of seen ones would keep alive every object its frames refer to.
        setattr(error, _MARK, time.monotonic())
    except Exception:  # an exception class that refuses attributes may be logged twice
        return


def is_logged(error: BaseException) -> bool:
    """Whether *error* was logged on its way here."""
    context = current_request()
    if context is not None and context.error is error:
        return True
    try:
        when = getattr(error, _MARK, None)
    except Exception:  # a class with a hostile __getattr__
        return False
    return isinstance(when, float) and time.monotonic() - when < MEMORY_S


def event_fingerprint(record: Record) -> str:
    """16 hex digits that are equal for the same event logged by the same function.

    Numbers and IDs in the message do not count.
    """
    key = (record.code.module, record.code.qualified, _VARYING.sub("#", record.message[:200]))
    return _fingerprints[key]


_fingerprints: BoundedCache[str] = BoundedCache(
    lambda key: blake2b(
        "\0".join(key).encode("utf-8", "backslashreplace"), digest_size=8
    ).hexdigest(),
    MAX_FINGERPRINTS,
)
