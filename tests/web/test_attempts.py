"""Wrong tokens by client address, counted by all workers together."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from proletto_otel.web import attempts
from proletto_otel.web.attempts import FILE, LIMIT, SECONDS, SIZE, Attempts
from tests.waiting import PATIENCE_S

HERE = "10.0.0.1"


class Clock:
    """A clock that tests move."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def wrong(to: Attempts, times: int, address: str | None = HERE) -> None:
    """So many wrong tokens."""
    for _ in range(times):
        to.failed(address)


@pytest.mark.parametrize("shared", [True, False])
def test_ten_wrong_ones_and_the_address_waits_for_the_rest_of_the_minute(
    tmp_path: Path, shared: bool
) -> None:
    """Not longer, whatever comes meanwhile; others do not wait."""
    clock = Clock()
    seen = Attempts(tmp_path if shared else None, clock)
    wrong(seen, LIMIT - 1)
    assert 0 == seen.wait_s(HERE)
    clock.now += 20
    wrong(seen, 1)
    assert (40, 0) == (seen.wait_s(HERE), seen.wait_s("10.0.0.2"))
    clock.now += 39.5
    wrong(seen, 100)
    assert 1 == seen.wait_s(HERE)
    clock.now += 0.5
    assert 0 == seen.wait_s(HERE)
    wrong(seen, LIMIT)
    assert 60 == seen.wait_s(HERE)


def test_workers_count_together(tmp_path: Path) -> None:
    """Each in a process of its own, at the same time; none is lost."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fail_thrice, args=(str(tmp_path),)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE_S)
    seen = Attempts(tmp_path)
    assert 0 == seen.wait_s(HERE)
    wrong(seen, 1)
    assert 0 < seen.wait_s(HERE) <= SECONDS


def _fail_thrice(directory: str) -> None:
    wrong(Attempts(Path(directory)), 3)


def test_memory_is_constant_and_a_crowd_locks_nobody_else_out(tmp_path: Path) -> None:
    """20,000 addresses with a wrong token each, and ten from some."""
    seen = Attempts(tmp_path)
    for number in range(2000):
        wrong(seen, 11 if number % 100 == 0 else 1, f"10.{number // 250}.1.{number % 250}")

    assert SIZE >= (tmp_path / FILE).stat().st_size
    assert 0 == sum(seen.wait_s(f"192.168.{n // 250}.{n % 250}") for n in range(2000))


def test_a_network_of_ipv6_is_one_client(tmp_path: Path) -> None:
    """Whoever has a /64 has 2^64 addresses; IPv4 in IPv6 is the IPv4 address."""
    seen = Attempts(tmp_path)
    for number in range(LIMIT):
        seen.failed(f"2001:db8:1:2::{number:x}")
    wrong(seen, LIMIT, "::ffff:10.0.0.1")

    assert seen.wait_s("2001:db8:1:2:ffff::1") > 0
    assert 0 == seen.wait_s("2001:db8:1:3::1")
    assert seen.wait_s("10.0.0.1") > 0


@pytest.mark.parametrize("address", [None, "", "no address", "ÿ\udcff", "x" * 10_000])
def test_odd_addresses_count_as_any(tmp_path: Path, address: str | None) -> None:
    """A unix socket has none."""
    seen = Attempts(tmp_path)
    wrong(seen, LIMIT, address)

    assert seen.wait_s(address) > 0


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * SIZE, os.urandom(SIZE)])
def test_a_damaged_file_locks_nobody_out(tmp_path: Path, content: bytes) -> None:
    """Torn, or written by somebody else; counting goes on."""
    (tmp_path / FILE).write_bytes(content)
    seen = Attempts(tmp_path)

    assert 0 == seen.wait_s(HERE)
    wrong(seen, LIMIT)
    assert seen.wait_s(HERE) > 0


def test_a_clock_that_was_put_back_locks_nobody_out(tmp_path: Path) -> None:
    """An entry of the future says nothing."""
    clock = Clock()
    seen = Attempts(tmp_path, clock)
    wrong(seen, LIMIT)
    clock.now -= 3600

    assert 0 == seen.wait_s(HERE)


def test_a_directory_that_cannot_be_written_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stops no request."""
    monkeypatch.setattr("proletto_otel.core.internal_errors.strict", False)
    seen = Attempts(tmp_path / "missing")
    wrong(seen, LIMIT)

    assert 0 == seen.wait_s(HERE)
    assert attempts.GROUPS * attempts.GROUP == SIZE
