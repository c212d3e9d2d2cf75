"""A position in the log that survives rotation: which file, by what it is and not by its name."""

from __future__ import annotations

from dataclasses import dataclass

from proletto_otel.core.lazy_pattern import lazy_pattern

_TEXT = lazy_pattern(r"([0-9a-f]{1,16})-([0-9a-f]{1,8})-([0-9a-f]{1,15})")


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
