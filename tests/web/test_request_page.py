"""The page of one request whose log lines are gone: what is stored for longer than the log."""

from __future__ import annotations

import gzip
import re
import time
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from proletto_otel import setup_telemetry
from proletto_otel.logs.pipeline import pipeline
from proletto_otel.logs.search.beginning import begins_at
from proletto_otel.monitoring import monitor
from proletto_otel.setup.handle import Telemetry
from tests.waiting import until
from tests.web.dashboard import ADMIN

pytestmark = pytest.mark.usefixtures("telemetry_capture")
GONE = "no longer there"


def started(folder: Path) -> tuple[FlaskClient, Telemetry]:
    """A shop that writes a log into *folder*."""
    app = Flask("shop")
    telemetry = setup_telemetry(
        app, environment="development", log_console=False, log_files=True, log_dir=str(folder)
    )

    @app.get("/bank/<int:code>")
    def bank(code: int) -> tuple[str, int]:
        time.sleep(0.05)
        return "", code

    @app.get("/broken")
    def broken() -> str:
        raise ValueError("the vault is empty")

    return app.test_client(), telemetry


def asked(client: FlaskClient, code: int, request_id: str) -> None:
    """One request."""
    client.get(f"/bank/{code}", headers={"X-Request-ID": request_id})


def rotated_away(client: FlaskClient, folder: Path) -> None:
    """All files of the log go; the next line begins a new one."""
    pipeline.deferred.flush()
    for path in folder.glob("*_structured.json*"):
        path.unlink()
    time.sleep(1.1)  # the time of a line is compared with that of the request
    until(lambda: client.get("/bank/200") and any(folder.glob("*_structured.json")))
    pipeline.deferred.flush()


def facts(page: str) -> dict[str, str]:
    """The facts of the page by their names."""
    found = re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    return {name: " ".join(re.sub(r"<.*?>", "", value).split()) for name, value in found}


def test_failed_request_is_found_after_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the latest failure, which the workers remember, but one before it."""
    monkeypatch.setattr("proletto_otel.web.pages.request.SLACK_S", 0.5)
    client, telemetry = started(tmp_path)
    for number in range(3):
        asked(client, 503, f"bank-failed-{number}")
    until(
        lambda: (
            telemetry.components.recording.past.record() or monitor.stored_request("bank-failed-0")
        )
    )
    whole = client.get(f"{ADMIN}/request/bank-failed-0").text
    assert GONE not in whole
    rotated_away(client, tmp_path)

    answer = client.get(f"{ADMIN}/request/bank-failed-0")
    told = facts(answer.text)
    assert 200 == answer.status_code
    assert GONE in answer.text
    assert ("GET /bank/&lt;int:code&gt;", "503") == (told["Endpoint"], told["Status"])
    assert re.match(r"\d+(\.\d+)? ms", told["Took"])
    assert told["Over at"].endswith("UTC")
    twin = client.get(f"{ADMIN}/api/pages/request/bank-failed-0").get_json()
    assert (True, True, 503) == (
        twin["is_known"], twin["lines_are_gone"], twin["timing"]["status"],
    )  # fmt: skip
    assert twin["log_begins"] > twin["timing"]["at"]


def test_slow_request_is_found_after_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process, which remembers nothing, finds it in the store."""
    monkeypatch.setattr("proletto_otel.web.pages.request.SLACK_S", 0.5)
    client, telemetry = started(tmp_path)
    asked(client, 200, "bank-slow-1")
    until(
        lambda: (
            telemetry.components.recording.past.record() or monitor.stored_request("bank-slow-1")
        )
    )
    telemetry.shutdown()
    client, _ = started(tmp_path)
    rotated_away(client, tmp_path)
    page = client.get(f"{ADMIN}/request/bank-slow-1").text

    assert GONE in page
    assert "No error is stored of this request." in page
    assert "200" == facts(page)["Status"]


def test_stored_error_stands_for_lines_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown with what is stored of its request, and the page says what is not."""
    monkeypatch.setattr("proletto_otel.web.pages.request.SLACK_S", 0.5)
    client, telemetry = started(tmp_path)
    client.get("/broken", headers={"X-Request-ID": "vault-1"})
    until(lambda: telemetry.components.recording.past.record() or monitor.stored_request("vault-1"))
    until(lambda: monitor.errors.occurrences_of_request("vault-1"))
    assert GONE not in client.get(f"{ADMIN}/request/vault-1").text
    rotated_away(client, tmp_path)
    page = client.get(f"{ADMIN}/request/vault-1").text

    assert GONE in page
    assert "the vault is empty" in page
    assert {"Endpoint", "Status", "Took", "Over at", "Worker"} <= facts(page).keys()


def test_unknown_request_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    """Nothing is claimed to be gone of what never was."""
    client, _ = started(tmp_path)
    asked(client, 200, "bank-1")
    page = client.get(f"{ADMIN}/request/nobody-1").text

    assert "Nothing is known of a request or trace with this ID" in page
    assert GONE not in page


LINE = b'{"timestamp":"2026-11-30T14:05:00.000000","level":"INFO","message":"x"}\n'


def test_log_begins_with_its_oldest_file(tmp_path: Path) -> None:
    """Of plain and compressed files; nothing is said of none and of damaged ones."""
    path = tmp_path / "shop_structured.json"
    assert None is begins_at(None)
    assert None is begins_at(path)
    path.write_bytes(LINE.replace(b"14:05", b"15:05"))
    newest = begins_at(path)
    (tmp_path / "shop_structured.json.1").write_bytes(LINE)
    older = begins_at(path)
    packed = tmp_path / "shop_structured.json.2.gz"
    packed.write_bytes(gzip.compress(LINE.replace(b"14:05", b"13:05")))
    oldest = begins_at(path)

    assert newest is not None
    assert (newest - 3600, newest - 7200) == (older, oldest)
    packed.write_bytes(b"\x1f\x8b damaged")
    assert None is begins_at(path)


def test_request_whose_error_was_thinned_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line names the group; the page does not say that it had no error."""
    client, telemetry = started(tmp_path)
    for number in range(40):
        client.get("/broken", headers={"X-Request-ID": f"broken-{number:04}"})
    telemetry.flush()
    errors = telemetry.components.errors
    monkeypatch.setattr("proletto_otel.errors.tables.MAX_STORED_BYTES", 1)
    for _ in range(10):
        errors.keep_within_limits()
    numbers = [f"broken-{number:04}" for number in range(40)]
    (gone, *_) = [n for n in numbers if not monitor.errors.occurrences_of_request(n)]
    (group,) = monitor.errors.groups()

    page = client.get(f"{ADMIN}/request/{gone}").text

    assert "This occurrence was thinned out" in page
    assert "No error is stored" not in page
    assert f'href="{ADMIN}/errors/{group.fingerprint}"' in page
