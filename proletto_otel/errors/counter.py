"""The metric `proletto.errors`: one count for each record of level ERROR and above.

Groups of errors by fingerprint live in `errors.groups`.
"""

from __future__ import annotations

from proletto_otel.core.conventions import COMPONENT, ERRORS
from proletto_otel.core.metrics.registry import registry
from proletto_otel.logs.record.record import Record

_errors = registry.counter(ERRORS)


def count_error(record: Record) -> None:
    """Count *record* by level, component and exception type."""
    component = record.fields.get(COMPONENT)
    kind = record.exception.type if record.exception is not None else None
    value = component if isinstance(component, str) else None
    _errors.cell((record.level_name, value, kind)).add(1)
