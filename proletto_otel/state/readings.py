"""What is read of the past of workers and metrics.

They have a module of their own, so that no program imports them that reads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLife:
    """One worker process, from its start."""

    pid: int
    host: str
    version: str
    """The service's version (`service.version`) that it ran; empty where none was set."""
    started: float
    """Unix seconds."""
    ended: float | None
    """Unix seconds, two seconds late at most; None: it lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """Something that happened at one time, to be marked in charts."""

    time: float
    """Unix seconds."""
    kind: str
    """`deploy` (a version came), `worker_started` or `worker_ended`."""
    version: str
    """The version that came, or that the worker ran."""
    pid: int | None = None
    """The worker's."""
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPoint:
    """One bucket of a metric's past; a bucket without a sample has no point."""

    time: float
    """Where the bucket begins, unix seconds."""

    seconds: float
    """How long it is; where the next point comes later than that, nothing was measured."""

    min: float
    max: float
    mean: float
    count: int
    """Samples in it."""
