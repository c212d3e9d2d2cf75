"""`/livez` says that the process lives, whatever the admin pages do: over a real gunicorn."""

from __future__ import annotations

import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import free_port
from tests.stack.servers import ROOT, Server
from tests.waiting import PATIENCE_S
from tests.web.dashboard import ADMIN

"""A busy machine; the page takes longer than that unless it is released."""


@pytest.fixture(
    params=[("--workers", "2"), ("--workers", "1", "--threads", "4")],
    ids=["sync workers", "threads of one"],
)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *request.param]
    server = Server(
        [*command, "tests.web.slow_page_app:app"],
        tmp_path / "console.log",
        {
            "FLASK_ENV": "development", "MONITOR_ADMIN_TOKEN": "", "OTEL_SDK_DISABLED": "1",
            "PROLETTO_LOG_CONSOLE": "0", "PROLETTO_STRICT": "0", "PYTHONPATH": str(ROOT),
            "LOG_DIR": str(tmp_path / "logs"), "SLOW_PAGE": str(tmp_path),
        },
    )  # fmt: skip
    try:
        server.wait_ready(f"http://127.0.0.1:{port}/livez")
        yield f"http://127.0.0.1:{port}"
    finally:
        (tmp_path / "release").touch()
        server.stop()


def ask(url: str) -> int:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        answer.read()
        return int(answer.status)


def test_a_slow_page_does_not_hold_livez(base: str, tmp_path: Path) -> None:
    """While a page is being made and holds the store, `/livez` answers again and again."""
    made: list[int] = []
    page = threading.Thread(target=lambda: made.append(ask(f"{base}{ADMIN}/slow")))
    page.start()
    end = time.monotonic() + PATIENCE_S
    while not (tmp_path / "entered").exists():
        assert time.monotonic() < end, "the page was not asked for"
        time.sleep(0.02)

    assert [200] * 20 == [ask(f"{base}/livez") for _ in range(20)]
    assert [] == made
    (tmp_path / "release").touch()
    page.join()
    assert [200] == made
