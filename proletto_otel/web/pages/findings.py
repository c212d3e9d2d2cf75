"""What somebody has to mend, made of what telemetry says about itself, each with how."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from proletto_otel.export import answers

NO_ANSWER = (
    "Start a collector there, or set OTEL_EXPORTER_OTLP_ENDPOINT to where one is; without one set"
    " OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER to none"
)
REFUSED = "The collector's own log says why"
FILE = (
    "The user of the workers must be able to write it, on a disk with room; LOG_DIR names another"
)
DATABASE = "What waits is written as soon as the database answers; PROLETTO_DATABASE_URL names it"
"""The ways to mend it."""


def findings(status: Mapping[str, Any]) -> list[str]:
    """One sentence or two for each; nothing where all is well.

    Args:
        status: What `Telemetry.status` gives.
    """
    return [
        *status.get("findings", ()),
        *_of_export(status.get("exporter", {}).get("signals", {})),
        *_of_sinks(status.get("sinks", {})),
        *_of_store(status.get("store", {})),
    ]


def _of_export(signals: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One for all signals that are not delivered for the same reason."""
    names: dict[str, list[str]] = {}
    for name, signal in signals.items():
        if signal["state"] != "closed":
            names.setdefault(signal["last_error"], []).append(name)
    for error, alike in names.items():
        first = signals[alike[0]]
        what = f"{', '.join(alike)}: nothing is delivered to {first['endpoint']} ({error})"
        yield f"{what}. {_way_to_mend(error)}."


def _way_to_mend(error: str) -> str:
    answered = re.fullmatch(r"HTTP (\d+)", error)
    if answered is None:
        return NO_ANSWER
    advice = answers.fix(int(answered[1]))
    return advice[:1].upper() + advice[1:] or REFUSED


def _of_sinks(sinks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, sink in sinks.items():
        error = sink["last_error"]
        if not error:  # of others (console, an application's own) it may be long over
            continue
        if "path" in sink:  # files name it in their errors
            yield f"{error}. {FILE}."
        elif name == "database":
            yield f"database: {error}. {DATABASE}."


def _of_store(store: Mapping[str, Any]) -> Iterator[str]:
    if store.get("last_error"):
        yield (
            f"The store of these pages: {store['last_error']}. Its directory must be writable for"
            " the user of the workers, on a disk with room; PROLETTO_STATE_DIR names another."
        )
