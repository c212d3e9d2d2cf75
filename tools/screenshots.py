"""Take the pictures of the dashboard that the documentation shows: `make screenshots`.

The demo shop runs with its traffic for two minutes, so that charts have something to show. Needs
chromium and playwright.

python tools/screenshots.py                 # those of the documentation
python tools/screenshots.py --all FOLDER    # every page whole, in both schemes, at three widths
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


PAGES = {
    "overview": "", "errors": "/errors", "requests": "/requests", "logs": "/logs",
    "logs-errors": "/logs?level=ERROR", "logs-none": "/logs?text=no+such+words",
    "health": "/health", "alerts": "/alerts", "system": "/system", "telemetry": "/telemetry",
    "requests-table": "/requests?as=table", "system-day": "/system?range=24h",
    "missing": "/errors/0000000000000000", "unknown-request": "/request/0123456789abcdef",
}  # fmt: skip
"""File and path of those without an ID in it."""
LINKS = {
    "error": ("/errors", "#groups tbody a"), "endpoint": ("/requests", "#endpoints tbody a"),
    "request": ("/logs?level=ERROR", "#lines small a[href*='/request/']"),
    "log-line": ("/logs", "#lines li:nth-child(9) a.when"),
}  # fmt: skip
"""File, the page that leads there, and the link on it."""
WIDTHS = (390, 1440, 2560)


def main() -> None:
    """Run the demo, take the pictures, end the demo."""
    whole = Path(sys.argv[2]) if sys.argv[1:2] == ["--all"] else None
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "examples/shop/demo.py", "--folder", folder, "--port", str(PORT)]
        demo = subprocess.Popen(command, cwd=ROOT, env=os.environ | SETTINGS)
        try:
            time.sleep(RUN_S)
            address = f"http://127.0.0.1:{PORT}/admin/monitoring"
            take_all(address, whole) if whole is not None else take(f"{address}?range=15m")
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


def take_all(address: str, folder: Path) -> None:
    """Every page as far down as it goes."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page()
        found = dict(PAGES)
        for name, (path, link) in LINKS.items():
            page.goto(address + path)
            target = page.locator(link).first.get_attribute("href") or ""
            found[name] = target.partition("/admin/monitoring")[2]
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                page = browser.new_page(
                    viewport={"width": width, "height": 1000}, color_scheme=scheme
                )
                for name, path in found.items():
                    page.goto(address + path)
                    page.wait_for_timeout(300)
                    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
