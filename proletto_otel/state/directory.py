"""The state directory: where the workers of a host meet, one private folder for each service.

Services that share a log directory share nothing else: the numbers, alerts and errors of one are
not those of the other. What others made is used as it is: no mode is changed, and no folder is
entered that a stranger could have put there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from pathlib import Path

from proletto_otel.core.config import Config
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.ownership import give_to_owner, make_directories

DEFAULT_NAME = ".state"
MAX_NAME = 64


def prepare(config: Config) -> Path | None:
    """Make the service's folder in the state directory, readable by this user alone.

    Returns:
        The folder, or None (with one warning) where it cannot be written: then this process
        shares nothing with others.
    """
    if config.in_memory:
        return None
    # absolute: the program may change its directory
    base = Path(config.state_dir or Path(config.log_dir, DEFAULT_NAME)).absolute()
    name = folder_of(config.service_name)
    try:
        _make_base(base)
        # another user's folder of this name stays theirs
        for path in (base / name, base / f"{name}-uid{os.geteuid()}"):
            if _make_private(path):
                return path
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        log_rate_limited(
            "state.directory",
            "PROLETTO_STATE_DIR=%r cannot be written (%s): this process keeps its state to itself,"
            " numbers of several workers are not added up",
            str(base),
            error.strerror,
        )
        return None


def _make_base(base: Path) -> None:
    """Make the directory of all services; whoever may write beside it may write into it.

    So two users who share a log directory both have their state there. Elsewhere it is private.
    """
    if base.is_dir():
        return
    make_directories(base.parent)
    with contextlib.suppress(FileExistsError):  # another worker was faster
        base.mkdir(mode=0o700)
        # 0o3077: the bits of group and others, set-group-ID, and the sticky bit, which stops users
        # from deleting each other's folders; the owner's bits and set-user-ID are left out
        shared = stat.S_IMODE(base.parent.stat().st_mode) & 0o3077
        if shared & 0o022:
            # chmod, because the process's umask would take these bits from mkdir's mode
            with contextlib.suppress(OSError):  # a volume that takes no modes
                base.chmod(0o700 | shared)
        give_to_owner(base)


def _make_private(path: Path) -> bool:
    """Make *path* for this user alone, or find it; whether it can be used."""
    try:
        path.mkdir(mode=0o700)
        give_to_owner(path)
    except FileExistsError:
        if not _is_trusted(path):
            return False
    # Only writing tells: the mode shows nothing of ACLs or of a container's user mapping.
    probe = path / f".probe-{os.getpid()}"
    try:
        probe.touch(mode=0o600)
        probe.unlink()
    except PermissionError:
        return False
    return True


def _is_trusted(path: Path) -> bool:
    """Whether an existing folder is a directory, and nobody but its owner could have put it there.

    In a directory that everybody may write to (`/tmp`) it has to be this user's own.
    """
    # lstat: a link that a stranger placed in /tmp must not lead us elsewhere
    found, around = path.lstat(), path.parent.stat()
    if not stat.S_ISDIR(found.st_mode):
        return False
    return not around.st_mode & 0o002 or found.st_uid == os.geteuid()


def shared_locks(state: Path | None) -> Path | None:
    """The directory of all services for lock files, if this user may write there."""
    if state is None or not os.access(state.parent, os.W_OK):
        return None
    return state.parent


def folder_of(service: str) -> str:
    """A file name for *service*; with a hash where characters had to be replaced.

    >>> folder_of("shop")
    'shop'
    """
    # the hash keeps "a/b" and "a:b" apart, which would both become "a-b"
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", service)[:MAX_NAME]
    if plain and plain == service:
        return plain
    return f"{plain}-{hashlib.sha256(service.encode('utf-8', 'replace')).hexdigest()[:8]}"
