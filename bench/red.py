"""How long an open overview takes until it is red after traffic begins to fail.

    python -m bench.red [--times 12]

Each time gunicorn with four sync workers begins anew over an empty store and serves ten requests a
second; the overview is open in Chromium. After some seconds, never the same ones, every request
fails. Printed are the seconds from the first failing request until the page is red.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from typing import Any

from bench import pages
from bench.asking import BASE, ask, keep_asking
from bench.tabs import server

SETTLED_S = 6.0
"""The leader prepares the overview regularly by then."""
PERIOD_S = 6.0
"""The failures begin anywhere in it: longer than every interval of the chain."""
RED = "#tile-errors .big.bad"


def main() -> None:
    """Measure so many times, print each and the median."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=12)
    took = []
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(parser.parse_args().times):
            with tempfile.TemporaryDirectory(prefix="red-") as folder, server(folder):
                took.append(once(chromium))
            print(f"{took[-1]:.2f} s, load {os.getloadavg()[0]:.1f}", flush=True)
        chromium.close()
    print(f"least {min(took):.2f}, median {statistics.median(took):.2f}, most {max(took):.2f} s"
          f" of {len(took)}")  # fmt: skip


def once(chromium: Any) -> float:
    """Seconds from the first failure until the page is red."""
    page = chromium.new_context().new_page()
    well, broken = threading.Event(), threading.Event()
    traffic = threading.Thread(target=keep_asking, args=("/hello", well, 0.1))
    failing = threading.Thread(target=keep_asking, args=("/broken", broken, 0.1))
    traffic.start()
    try:
        page.goto(BASE + pages.ADMIN)
        page.wait_for_timeout(1000 * (SETTLED_S + random.random() * PERIOD_S))
        assert not page.locator(RED).count()
        well.set()
        traffic.join()
        began = time.monotonic()
        ask("/broken")
        failing.start()
        page.wait_for_selector(RED, timeout=60_000)
        return time.monotonic() - began
    finally:
        well.set()
        broken.set()
        traffic.join()
        if failing.ident is not None:
            failing.join()
        page.context.close()


if __name__ == "__main__":
    main()
