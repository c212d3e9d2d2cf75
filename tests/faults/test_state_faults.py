"""The host's state is damaged while requests are served: no answer changes, monitoring resumes."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from proletto_otel import setup_telemetry
from proletto_otel.core import internal_errors
from proletto_otel.core.conventions import STORE_ERRORS
from proletto_otel.monitoring import monitor
from proletto_otel.setup.telemetry import Telemetry
from proletto_otel.state import store
from proletto_otel.testing import TelemetryCapture
from tests.faults.workers import Traffic, serving
from tests.waiting import until

COUNT = "http_server_request_duration_seconds_count"
FILLER = "filler"


class Shop:
    """An application that is asked without a pause, with every part of monitoring at work."""

    def __init__(self, state: Path) -> None:
        self.state = state / "proletto"
        self.answers: Counter[tuple[int, str]] = Counter()
        self.stock = True
        self.raised: list[BaseException] = []
        app = Flask("shop")
        app.add_url_rule("/item", "item", lambda: "fine")
        app.add_url_rule("/fail/<kind>", "fail", self._fail)
        self.app = app
        self.telemetry: Telemetry = setup_telemetry(
            app, log_console=False, state_dir=str(state), monitor_sample_interval=0.1,
            monitor_health_check_interval=0.1, alert_interval_s=0.1, monitor_unhealthy_threshold=1,
        )  # fmt: skip
        monitor.register_health_check("stock", lambda: self.stock)
        self.telemetry.activate()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    @staticmethod
    def _fail(kind: str) -> str:
        raise type(kind, (RuntimeError,), {})("broken")

    def _ask(self) -> None:
        client = self.app.test_client()
        try:
            while not self._stop.is_set():
                with client.get("/item") as answer:
                    self.answers[answer.status_code, answer.text] += 1
                time.sleep(0.001)
        except BaseException as error:
            self.raised.append(error)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def answered(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        now = self.answers.total()
        until(lambda: self.raised or self.answers.total() >= now + more)

    def counted(self) -> int:
        """Requests to the one route, as /metrics tells."""
        answer = self.app.test_client().get("/metrics")
        assert 200 == answer.status_code
        samples = [s for f in text_string_to_metric_families(answer.text) for s in f.samples]
        mine = [s for s in samples if s.name == COUNT and s.labels.get("http_route") == "/item"]
        return sum(int(s.value) for s in mine)

    def lost(self) -> dict[str, float]:
        """Failed uses of the store by reason."""
        families = {f.name: f for f in self.telemetry.families()}
        found = families.get(STORE_ERRORS.name)
        return {str(p.attributes[0][1]): float(p.value) for p in found.points} if found else {}  # type: ignore[arg-type]

    def is_watched(self, kind: str) -> None:
        """History, health, error groups and alerts go on from now."""
        now = time.time()
        until(lambda: [at for at, _ in monitor.history("cpu_percent") if at > now])
        self.stock = not self.stock
        status = "healthy" if self.stock else "unhealthy"
        until(lambda: [c.status for c in monitor.get_health().checks] == [status])
        until(lambda: [t for t in monitor.health_history("stock", now) if t.status == status])
        firing = [] if self.stock else ["health:stock"]
        until(lambda: [a.name for a in monitor.get_alerts(firing=True)] == firing)
        client = self.app.test_client()
        assert 500 == client.get(f"/fail/{kind}").status_code
        until(lambda: [g for g in self.telemetry.errors.groups() if kind in g.type])

    def is_whole(self) -> None:
        """Requests were answered as ever and every one of them is counted."""
        self.stop()
        assert [] == self.raised
        assert {(200, "fine")} == set(self.answers)
        assert self.answers.total() == self.counted()

    @property
    def is_shared(self) -> bool:
        """Whether the store is the host's again."""
        return self.telemetry.status()["store"] == {"shared": True, "last_error": ""}


@pytest.fixture
def start(
    tmp_path: Path, telemetry_capture: TelemetryCapture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Shop]]:
    """Start the shop; as in production a failure of ours is counted, not raised."""
    monkeypatch.setattr(internal_errors, "strict", False)
    monkeypatch.setattr(store, "RETRY_S", 0.2)
    shops: list[Shop] = []

    def start(state: Path = tmp_path / "state") -> Shop:
        shops.append(Shop(state))
        return shops[-1]

    yield start
    for shop in shops:
        shop.stop()


@contextmanager
def mounted(directory: Path, *options: str) -> Iterator[None]:
    """Something mounted on *directory*."""
    directory.mkdir(exist_ok=True)
    made = subprocess.run(["mount", *options, str(directory)], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"mount is refused: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def test_garbage_in_the_store(start: Callable[..., Shop]) -> None:
    """store.sqlite overwritten, its journal too: set aside, counted, begun anew."""
    shop = start()
    shop.is_watched("Before")
    shop.answered(20)
    (shop.state / "store.sqlite-journal").write_bytes(b"garbage" * 1000)
    with (shop.state / "store.sqlite").open("r+b") as file:
        file.write(os.urandom(os.path.getsize(shop.state / "store.sqlite")))
    shop.answered(20)

    until(lambda: shop.lost().get("corrupt"))
    until(lambda: shop.is_shared)
    shop.is_watched("After")
    assert 1 <= len(list(shop.state.glob("store.sqlite.corrupt-*")))
    assert (
        not (shop.state / "store.sqlite-journal").exists()
        or b"garbage" not in (shop.state / "store.sqlite-journal").read_bytes()
    )
    shop.is_whole()


def removed(directory: Path) -> bool:
    """Whether it is gone for a moment: the program writes into it meanwhile."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def test_state_directory_removed(start: Callable[..., Shop]) -> None:
    """rm -rf: made anew, with a leader, a store and the workers' numbers."""
    shop = start()
    shop.is_watched("Before")
    shop.answered(20)
    counted = shop.counted()
    until(lambda: removed(shop.state.parent))
    shop.answered(20)

    assert counted + 20 <= shop.counted()
    shop.is_watched("After")
    until(lambda: shop.is_shared)
    until(lambda: list(shop.state.glob("workers/*.json")))
    assert (shop.state / "leader.lock").exists()
    assert 0o700 == shop.state.stat().st_mode & 0o777
    shop.is_whole()


def test_state_directory_full(start: Callable[..., Shop], tmp_path: Path) -> None:
    """Disk full while running: each process for itself, losses counted; shared when space is."""
    state = tmp_path / "state"
    with mounted(state, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        shop = start(state)
        shop.is_watched("Before")
        fill(state / FILLER)
        shop.answered(20)
        until(lambda: shop.lost().get("unavailable"))
        shop.is_watched("During")
        (state / FILLER).unlink()

        until(lambda: shop.is_shared)
        shop.is_watched("After")
        shop.is_whole()
        shop.telemetry.shutdown()


def fill(path: Path) -> None:
    """Take all space there is."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


def test_state_directory_full_from_the_start(start: Callable[..., Shop], tmp_path: Path) -> None:
    """A disk that is full before the program starts."""
    state = tmp_path / "state"
    with mounted(state, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        fill(state / FILLER)
        shop = start(state)
        shop.answered(20)
        shop.is_watched("During")
        until(lambda: shop.lost().get("unavailable"))
        shop.is_whole()
        shop.telemetry.shutdown()


def test_state_directory_read_only_from_the_start(
    start: Callable[..., Shop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything works for the process alone, with one warning."""
    state = tmp_path / "state"
    with mounted(state, "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"):
        shop = start(state)
        shop.answered(20)
        shop.is_watched("During")
        shop.is_whole()
        assert not shop.is_shared
        shop.telemetry.shutdown()
    assert 1 == len([r for r in caplog.records if "PROLETTO_STATE_DIR" in r.getMessage()])


def test_state_directory_becomes_read_only(start: Callable[..., Shop], tmp_path: Path) -> None:
    """Another, read-only file system in its place: for itself, and shared again afterwards."""
    shop = start()
    shop.is_watched("Before")
    with mounted(shop.state, "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"):
        shop.answered(20)
        until(lambda: shop.lost().get("unavailable"))
        shop.is_watched("During")

    until(lambda: shop.is_shared)
    shop.is_watched("After")
    shop.is_whole()


def test_state_directory_removed_under_four_workers(tmp_path: Path) -> None:
    """gunicorn: no request fails, and whoever is asked tells of all requests, early ones too."""
    state = tmp_path / "state"
    with serving(tmp_path, "-w", "4", PROLETTO_STATE_DIR=str(state)) as server:
        traffic = Traffic(server, 1200)
        until(lambda: traffic.sent > 500)
        shutil.rmtree(state, ignore_errors=True)  # they write into it meanwhile
        traffic.wait()

        until(lambda: all(server.counts() == traffic.answered for _ in range(8)))
    assert not traffic.broken


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size + 512))


@pytest.mark.parametrize("damage", [truncate, overwrite, Path.unlink])
def test_every_file_damaged_under_four_workers(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Whatever happens to the files below LOG_DIR: no request fails and no worker dies."""
    with serving(tmp_path, "-w", "4") as server:
        pids = sorted(server.pids())
        traffic = Traffic(server, 1200)
        until(lambda: traffic.sent > 300)
        for _ in range(5):
            now = traffic.sent
            for path in (tmp_path / "logs").rglob("*"):
                with suppress(FileNotFoundError):  # the program replaces them meanwhile
                    if path.is_file():
                        damage(path)
            until(lambda now=now: traffic.sent > now + 100 or traffic.sent == 1200)
        traffic.wait()

        assert pids == sorted(server.pids())
        # histograms count in memory: nothing of the living is lost
        until(lambda: all(server.counts() == traffic.answered for _ in range(8)))
    assert not traffic.broken
