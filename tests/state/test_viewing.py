"""Whether somebody looks is known to all workers of the host, and costs next to nothing."""

from __future__ import annotations

import os
from pathlib import Path

from proletto_otel.state.viewing import LATELY_S, NOTE_S, Viewing


class Clock:
    """A time that the test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Unix seconds."""
        return self.now


def test_a_look_in_one_worker_is_known_in_all(tmp_path: Path) -> None:
    """For a quarter of an hour, whichever worker it was."""
    clock = Clock()
    one, other = (Viewing(tmp_path, clock) for _ in range(2))
    assert not other.lately()

    one.note()

    assert other.lately()
    assert one.lately()
    clock.now += LATELY_S - 1
    assert other.lately()
    clock.now += 1
    assert not other.lately()
    assert not one.lately()
    one.note()
    assert other.lately()


def test_many_looks_write_seldom(tmp_path: Path) -> None:
    """A page that asks each second touches the file every ten."""
    clock = Clock()
    viewing = Viewing(tmp_path, clock)
    written = set()
    for _ in range(100):
        viewing.note()
        written.add((tmp_path / "viewed").stat().st_mtime)
        clock.now += 1

    assert 100 / NOTE_S == len(written)


def test_clock_put_back(tmp_path: Path) -> None:
    """A look of the future is none, and the next look counts again."""
    clock = Clock()
    one, other = (Viewing(tmp_path, clock) for _ in range(2))
    one.note()
    clock.now -= 2 * LATELY_S

    assert not other.lately()
    one.note()
    assert other.lately()


def test_without_a_directory(tmp_path: Path) -> None:
    """A process for itself knows of its own looks; a directory that is gone raises nothing."""
    for viewing in (Viewing(None), Viewing(tmp_path / "gone")):
        assert not viewing.lately()
        viewing.note()
        assert viewing.lately()


def test_the_file_is_private(tmp_path: Path) -> None:
    """As all of the state directory."""
    umask = os.umask(0)
    try:
        Viewing(tmp_path).note()
    finally:
        os.umask(umask)

    assert 0o600 == (tmp_path / "viewed").stat().st_mode & 0o777
