"""The log file of a day: renamed at local midnight; `file_sink` writes the lines."""

from __future__ import annotations

import os
import time
from typing import Any

from proletto_otel.logs.sinks.files.file_sink import RETRY_S, FileSink
from proletto_otel.logs.sinks.files.rotation import DayNames, day_of, next_midnight_ns


class DailyFileSink(FileSink):
    """A file that rotates at local midnight."""

    def __init__(self, *args: Any, backups: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.names = DayNames(self.path, backups)
        self._midnight = 0

    def _follow_name(self, now_ns: int) -> None:
        super()._follow_name(now_ns)
        if self._fd >= 0 and now_ns >= self._midnight:
            self._rotate_if_new_day(now_ns)
        # The window ends at midnight, or lines of the new day would go to the old file for up to
        # 100 ms.
        self._until = min(self._until, self._midnight)

    def _rotate_if_new_day(self, now_ns: int) -> None:
        """Rename the file of an earlier day; called with the first record of a day."""
        if time.monotonic() < self._pause_until or not self._take_mutex():
            return
        try:
            with self._lock.hold() as held:
                if held:
                    self._put_away(now_ns)
                    self._midnight = next_midnight_ns(now_ns)
        except OSError as error:
            self._pause_until = time.monotonic() + RETRY_S
            self._warn("cannot be rotated", error)
        finally:
            self._mutex.release()

    def _put_away(self, now_ns: int) -> None:
        # Another process may have rotated while this one waited for the lock.
        if self._moved():
            self._open()
        found, today = os.fstat(self._fd), day_of(now_ns)
        # The lock file knows the day; a file from before there was one is of the day of its last
        # line.
        written = day_of(found.st_mtime_ns) if found.st_size else today
        day = self._lock.read_day(found.st_ino) or written
        if day < today and found.st_size:
            os.replace(self.path, self.names.make_room(day))
            self._open()
        # Never back to an earlier day: with a clock that was set back the file would be put away
        # twice.
        self._lock.write_day(os.fstat(self._fd).st_ino, max(day, today))
