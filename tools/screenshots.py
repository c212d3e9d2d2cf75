"""Take the pictures of the dashboard that the documentation shows: `make screenshots`.

The demo shop runs with its traffic for two minutes, so that charts have something to show. Needs
chromium and playwright.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHERE = ROOT / "docs" / "images"
PORT = 8731
RUN_S = 120.0
SETTINGS = {"MONITOR_SAMPLE_INTERVAL": "5", "OTEL_RESOURCE_ATTRIBUTES": "service.version=1.4.2"}
PICTURES = {
    "dashboard": (1280, 1000, "light"),
    "dashboard-dark": (1280, 1000, "dark"),
    "dashboard-phone": (390, 844, "light"),
}
"""File, width and height in pixels, colour scheme."""


def main() -> None:
    """Run the demo, take the pictures, end the demo."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "examples/shop/demo.py", "--folder", folder, "--port", str(PORT)]
        demo = subprocess.Popen(command, cwd=ROOT, env=os.environ | SETTINGS)
        try:
            time.sleep(RUN_S)
            take(f"http://127.0.0.1:{PORT}/admin/monitoring?range=15m")
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(30)


def take(address: str) -> None:
    """One picture of each row."""
    from playwright.sync_api import sync_playwright

    WHERE.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (width, height, scheme) in PICTURES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page.goto(address)
            page.wait_for_timeout(1000)
            page.screenshot(path=WHERE / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
