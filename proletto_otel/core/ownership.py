"""Files and directories that root makes belong to the owner of the directory they lie in.

Otherwise one `sudo flask …` would leave files that the service, as its own user, cannot use.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def give_to_owner(made: Path) -> None:
    """As root, give a new file or directory to the owner of the directory it lies in."""
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):  # a volume that takes no owners
        around = made.parent.stat()
        if around.st_uid != 0 and made.lstat().st_uid == 0:
            os.chown(made, around.st_uid, around.st_gid, follow_symlinks=False)


def make_directories(path: Path, mode: int = 0o777) -> None:
    """Make *path* with *mode*, and its missing parents; existing ones stay as they are.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_directories(path.parent)
    with contextlib.suppress(FileExistsError):  # another worker was faster
        path.mkdir(mode)
        give_to_owner(path)
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is no directory")
