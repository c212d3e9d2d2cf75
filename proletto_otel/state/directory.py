"""Where the workers of a host meet: one private directory."""

from __future__ import annotations

import os
from pathlib import Path

from proletto_otel.core.config import Config
from proletto_otel.core.silence import notice

DEFAULT_NAME = ".state"


def prepare(config: Config) -> Path | None:
    """Make the state directory, readable by this user alone.

    Returns:
        The directory, or None (with one warning) where it cannot be written: then this process
        keeps everything to itself.
    """
    # absolute: the program may change its directory
    path = Path(config.state_dir or Path(config.log_dir, DEFAULT_NAME)).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        notice(
            "state.directory",
            "PROLETTO_STATE_DIR=%r cannot be written (%s): this process keeps its state to itself,"
            " numbers of several workers are not added up",
            str(path),
            error.strerror,
        )
        return None
    return path
