"""Where the workers of a host meet: one private directory for each service.

Services that share a log directory share nothing else: the numbers, alerts and errors of one are
not those of the other.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import log_rate_limited

DEFAULT_NAME = ".state"
MAX_NAME = 64


def prepare(config: Config) -> Path | None:
    """Make the service's folder in the state directory, readable by this user alone.

    Returns:
        The folder, or None (with one warning) where it cannot be written: then this process
        keeps everything to itself.
    """
    # absolute: the program may change its directory
    base = Path(config.state_dir or Path(config.log_dir, DEFAULT_NAME)).absolute()
    path = base / folder_of(config.service_name)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for private in (base, path):
            private.chmod(0o700)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        log_rate_limited(
            "state.directory",
            "PROLETTO_STATE_DIR=%r cannot be written (%s): this process keeps its state to itself,"
            " numbers of several workers are not added up",
            str(base),
            error.strerror,
        )
        return None
    return path


def folder_of(service: str) -> str:
    """A file name for *service*; where characters had to go a hash tells it from its like.

    >>> folder_of("shop")
    'shop'
    """
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", service)[:MAX_NAME]
    if plain and plain == service:
        return plain
    return f"{plain}-{hashlib.sha256(service.encode('utf-8', 'replace')).hexdigest()[:8]}"
