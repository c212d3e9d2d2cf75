"""The access log: one INFO line per request on the logger `<APP_NAME>.access`.

What a line consists of lives in `logs.access_line`; measuring the request in `request`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proletto_otel.core import conventions as names
from proletto_otel.core.bounded_cache import BoundedCache
from proletto_otel.logs.access_line import INFO, AccessRecord, Finished, Kind, ProcessPart, parts
from proletto_otel.logs.pipeline import Pipeline
from proletto_otel.logs.record.call_site import this_process
from proletto_otel.runtime.deferred_writer import Made

QUIET_PATHS = ("/livez", "/readyz", "/health", "/healthz", "/metrics")
"""Probes and scrapes: a line each would bury the others. A failure (5xx) still gets its line."""
MAX_KINDS = 1024
"""Kinds of requests with cached lines."""


class AccessLog:
    """Called by the request path when a response is closed.

    Args:
        to: The pipeline.
        app_name: Names the logger.
        quiet: Paths without a line, unless they fail (5xx).
    """

    def __init__(self, to: Pipeline, app_name: str, *, quiet: Iterable[str] = QUIET_PATHS) -> None:
        self._pipeline = to
        self._logger = f"{app_name}.access"
        self.quiet = frozenset(quiet)
        self._reset()
        self._clients = parts(names.CLIENT_ADDRESS)
        self._sizes = parts(names.HTTP_RESPONSE_BODY_SIZE)
        self._users = parts(names.USER)

    def finished(self, request: Finished) -> None:
        """Write the line of *request* at once; never raises."""
        for record in self.made((request,))[0]:
            if record is not None:
                self._pipeline.write_now(record)

    def made(self, requests: Sequence[Finished]) -> Made:
        """The lines of *requests* (`None` for one that gets none), and their common targets."""
        to = self._pipeline
        level, overrides = to.level, to.overrides
        if overrides is not None:
            level = overrides.level_of(self._logger, 0, level)
        if level > INFO:
            return (), ()
        # empty tables in another process, or after another set-up
        process = self._process
        if process.build is not self._pipeline.build or process.process_id != this_process.id:
            self._reset()
        return [self._made(request) for request in requests], self._pipeline.batch_targets(INFO)

    def _made(self, request: Finished) -> AccessRecord | None:
        try:
            path, status = request.path, request.status
            if path in self.quiet and status < 500:
                return None
            # Three look-ups by what few requests differ in; only what is new is encoded.
            kind = self._kinds[request.method, request.route, status]
            parts = (
                self._clients[request.client],
                self._sizes[request.response_size],
                self._users[request.user_id],
            )
            # a path with variables hardly comes again: its line would only push out others
            ready = kind.line(path) if kind.varies else kind.lines[path]
            return AccessRecord(ready, parts, request)
        except Exception as error:
            self._pipeline.lost(error, INFO, "logs.access")
            return None

    def _reset(self) -> None:
        self._process = process = ProcessPart(self._logger, self._pipeline.build)
        self._kinds: BoundedCache[Kind] = BoundedCache(lambda key: Kind(process, key), MAX_KINDS)
