"""Whose files and directories are: what is opened, what new files become, what a warning says."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path

from proletto_otel.core.ownership import give_to_owner

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
FILE_MODE, DIRECTORY_MODE = 0o640, 0o750
"""Of what is made here: log lines are for the service and its group."""


def open_own(path: Path) -> int:
    """Open a log file for appending, or make it; never where a link of another user leads.

    Raises:
        OSError: as `os.open`, or `ELOOP` for such a link.
    """
    try:
        opened = os.open(path, _FLAGS | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        # A link of another user in a shared directory could lead our lines into any file of ours.
        if error.errno != errno.ELOOP or not is_own(os.lstat(path)):
            raise
        opened = os.open(path, _FLAGS, FILE_MODE)
    give_to_owner(path)
    return opened


def is_own(found: os.stat_result) -> bool:
    """Whether this process's user, or the administrator, made it."""
    return found.st_uid in (os.geteuid(), 0)


def explain(directory: Path) -> str:
    """Who owns *directory*, or the nearest one above it that is there, and who this process is."""
    for path in (directory, *directory.parents):
        try:
            found = os.stat(path)
        except OSError:  # not there, or below a directory that we may not enter
            continue
        mode, user = stat.filemode(found.st_mode), _name(os.geteuid())
        return f"{path} belongs to {_name(found.st_uid)}, {mode}; this is {user}"
    return f"this is {_name(os.geteuid())}"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # containers run users without a name
        return f"user {user}"
