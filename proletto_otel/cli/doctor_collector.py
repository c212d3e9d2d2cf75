"""The collector, asked as the exporter asks it: with its protocol, headers and certificates."""

from __future__ import annotations

import email.utils
import time

from proletto_otel.cli.doctor_verdict import WrongError
from proletto_otel.core.config import Config
from proletto_otel.export.destination import EMPTY
from proletto_otel.export.http_connection import Answer, Unreachable
from proletto_otel.export.route import Route

TIMEOUT_S = 5.0
CLOCK_S = 60.0
"""A clock that is off by more puts telemetry where nobody looks for it."""


def collector_answers(config: Config) -> str:
    """The collector takes an empty export."""
    shown = Route(config).endpoint("traces").shown
    fix = f"{_named(config)} (now {shown}): "
    try:
        status = _empty_export(config).status
    except Unreachable as error:
        fix += "start the collector there (`docker-compose up -d otel-collector`), or correct it"
        fix += "; port 4318 speaks HTTP, 4317 gRPC"
        raise WrongError(f"{shown} does not answer: {error}", fix) from error
    if status in (401, 403):
        problem = f"{shown} answers {status}: it wants another login, or none from here"
        raise WrongError(problem, "OTEL_EXPORTER_OTLP_HEADERS, as who runs the collector says")
    if status >= 300:
        fix += "the base address of the collector, port 4318 for HTTP"
        raise WrongError(f"{shown} answers {status}: that is no collector", fix)
    return f"{shown} takes telemetry"


def clocks_agree(config: Config) -> str:
    """This machine's clock and the collector's agree."""
    date = _empty_export(config).date
    if not date:
        return "the collector tells no time"
    off = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    if abs(off) > CLOCK_S:
        problem = f"this machine's clock is {abs(off):.0f} s {'fast' if off > 0 else 'slow'}"
        fix = "set it by NTP (`timedatectl set-ntp true`), here or on the collector's machine"
        raise WrongError(problem, fix)
    return f"within {abs(off):.0f} s of the collector's"


def _empty_export(config: Config) -> Answer:
    route = Route(config)
    to = route.endpoint("traces")
    connection = route.connection(to.peer)
    try:
        # A valid request without records: the check leaves nothing in the stores.
        return connection.post(to, EMPTY, TIMEOUT_S)
    finally:
        connection.close()


def _named(config: Config) -> str:
    """The setting that says where telemetry goes, as its user wrote it."""
    name = "otlp_traces_endpoint" if config.otlp_traces_endpoint else "otlp_endpoint"
    default = "environment OTEL_EXPORTER_OTLP_ENDPOINT"
    return config.origins.get(name, default).removeprefix("environment ")
