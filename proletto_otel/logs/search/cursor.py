"""A position in the log that survives rotation: which file, by what it is and not by its name."""

from __future__ import annotations

from dataclasses import dataclass

from proletto_otel.core.lazy_pattern import lazy_pattern

_TEXT = lazy_pattern(r"([0-9a-f]{1,16})-([0-9a-f]{1,8})-([0-9a-f]{1,15})")
_BOOKMARK = lazy_pattern(r"([0-9a-f-]*)\.([0-9a-f]{1,12})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The start of a line in one file."""

    inode: int
    mark: int
    """Checksum of the file's first bytes: an inode number is used again after a deletion."""
    offset: int
    """Bytes from the start of the file."""

    def __str__(self) -> str:
        return f"{self.inode:x}-{self.mark:x}-{self.offset:x}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that *text* says; None when it is none."""
        match = _TEXT.fullmatch(text)
        return cls(*(int(part, 16) for part in match.groups())) if match else None


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a search goes on: in the files, and in the table of errors."""

    file: Cursor | None = None
    """None: before the first line, or `errors_before` says that the files are done."""
    errors_before: int | None = None
    """Unix milliseconds: errors from then on were handled. None: it is not known."""

    def __str__(self) -> str:
        position = "" if self.file is None else str(self.file)
        return position if self.errors_before is None else f"{position}.{self.errors_before:x}"

    @classmethod
    def parse(cls, text: str) -> Bookmark | None:
        """The bookmark that *text* says; None when it is none."""
        match = _BOOKMARK.fullmatch(text)
        position = match[1] if match else text
        before = int(match[2], 16) if match else None
        if match and not position:
            return cls(None, before)
        file = Cursor.parse(position)
        return None if file is None else cls(file, before)
