"""Row D8: a spool disk that is full, read-only or deleted costs counted records, no exception."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.emitter import Emitter, dropped
from tests.faults.test_delivery_outage import arrived, uids
from tests.otlp_sink import SinkProcess
from tests.waiting import until


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SinkProcess]:
    started = SinkProcess(tmp_path).start()
    yield started
    started.kill()


def mount(*options: str) -> bool:
    """Run mount; whether it worked."""
    return subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, 512 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=512k", "none", str(place)):
        pytest.skip("needs the right to mount a tmpfs: run as root, or in a user namespace")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(app: Emitter, requests: int) -> None:
    """Emit without a collector, a file for each fifty requests."""
    for _ in range(requests // 50):
        app.ask("emit 50")
        app.ask("flush")


def test_full_disk_is_counted_and_used_again(sink: SinkProcess, disk: Path) -> None:
    """No space: memory holds a bounded part; space returns and the spool goes on by itself."""
    sink.kill()
    (disk / "ballast").write_bytes(b"x" * 480_000)
    with Emitter(sink.url, disk) as app:
        fill(app, 1000)
        full = app.law()
        waiting = full["pending"]["otlp_traces"]
        assert waiting > 0
        (disk / "ballast").unlink()
        until(lambda: app.ask("totals")["pending"]["otlp_traces"] == 0)
        after = app.law()
        assert 1000 == after["ledger"]["otlp_traces"]["spooled"]
        sink.start()
        until(lambda: arrived(sink, 1000))

    assert {} == dropped(after)
    assert {} == full["errors"]


def test_disk_that_stays_full_counts_every_loss(sink: SinkProcess, disk: Path) -> None:
    """At the end what neither the collector nor the disk took is a number with a reason."""
    sink.kill()
    (disk / "ballast").write_bytes(b"x" * 524_288)
    with Emitter(sink.url, disk) as app:
        fill(app, 200)
        totals = app.stop()

    assert {"disk_full": 600} == dropped(totals)
    assert 0 == totals["ledger"]["otlp_logs"]["spooled"]


def test_read_only_disk_is_used_again(sink: SinkProcess, disk: Path) -> None:
    """The disk turns read-only for a while: nothing is lost while memory is enough."""
    sink.kill()
    with Emitter(sink.url, disk) as app:
        fill(app, 100)
        assert mount("-o", "remount,ro", str(disk))
        fill(app, 100)
        during = app.law()
        assert (100, 100) == (
            during["pending"]["otlp_traces"], during["ledger"]["otlp_traces"]["spooled"],
        )  # fmt: skip
        assert mount("-o", "remount,rw", str(disk))
        sink.start()
        until(lambda: arrived(sink, 200))
        totals = app.law()

    assert {} == dropped(totals)
    assert {} == totals["errors"]
    assert 200 == len(uids(sink.records("traces")))


def test_deleted_spool_is_counted_and_made_again(sink: SinkProcess, tmp_path: Path) -> None:
    """Somebody removes the directory: what was in it is counted, the next records are kept."""
    sink.kill()
    with Emitter(sink.url, tmp_path / "state") as app:
        fill(app, 100)
        app.ask("delete")
        fill(app, 100)
        totals = app.law()
        sink.start()
        until(lambda: len(uids(sink.records("traces"))) == 100)

    assert {"spool_deleted": 300} == {k: v for k, v in dropped(totals).items() if "spool" in k}
    assert 100 == totals["ledger"]["otlp_traces"]["spooled"]
