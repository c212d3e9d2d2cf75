"""The console prints in every circumstance it can, and never raises in the others."""

from __future__ import annotations

import io
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proletto_otel.core import context
from proletto_otel.core.conventions import MESSAGE
from proletto_otel.core.internal_errors import log_rate_limited
from proletto_otel.core.metrics.delivery import ledger
from proletto_otel.logs.api.loggers import logger
from tests.logs.conftest import Room, balance
from tests.waiting import PATIENCE_S

Install = Callable[..., Room]


def test_stream_put_in_place_of_stdout_is_used(
    room: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that replaces `sys.stdout` gets the lines there, at once."""
    room()
    logger.info("one")
    other = io.StringIO()
    monkeypatch.setattr(sys, "stdout", other)
    logger.info("two")

    assert other.getvalue().endswith("INFO - two\n")
    assert 1 == other.getvalue().count("\n")


def test_closed_stdout_is_counted(room: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """With standard output and error closed the record is counted as dropped."""
    made = room()
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setattr(sys, "stderr", None)
    logger.info("nowhere")

    assert 1 == ledger.totals()["console"]["dropped"]["closed"]
    assert (1, 1) == balance("console")
    assert ["nowhere"] == [line[MESSAGE] for line in made.lines]


class AnotherThreadLogs(io.StringIO):
    """A stream that is looked at for the first time just as another thread logs."""

    looked_at = False

    def isatty(self) -> bool:
        """Log from another thread, amid the choice of the output."""
        if not self.looked_at:
            self.looked_at = True
            thread = threading.Thread(target=logger.info, args=("from another thread",))
            thread.start()
            thread.join(PATIENCE_S)
        return False


def test_thread_that_logs_amid_the_choice_of_the_output(
    room: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first records of several threads are all printed."""
    room()
    stream = AnotherThreadLogs()
    monkeypatch.setattr(sys, "stdout", stream)
    logger.info("from the first thread")

    assert 1 == stream.getvalue().count("INFO - from another thread\n")
    assert 1 == stream.getvalue().count("INFO - from the first thread\n")
    assert 0 == sum(ledger.totals()["console"]["dropped"].values())


def test_stderr_stands_in_for_a_missing_stdout(
    room: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without standard output lines go to standard error."""
    room()
    other = io.StringIO()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", other)
    logger.info("there")

    assert other.getvalue().endswith("INFO - there\n")


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", b"\\xe9"), ("latin-1", b"\xe9")])
def test_encoding_that_lacks_a_character_gets_an_escape(
    room: Install, monkeypatch: pytest.MonkeyPatch, encoding: str, shown: bytes
) -> None:
    """A console that cannot show a character shows its number, and the others as they are."""
    room()
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    logger.info("caf\u00e9 \U0001f600")

    assert raw.getvalue().endswith(b"INFO - caf" + shown + b" \\U0001f600\n")


def test_console_can_be_switched_off(room: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """`PROLETTO_LOG_CONSOLE=0` prints nothing; files go on."""
    made = room(log_console=False)
    logger.info("quiet")

    assert "" == capsys.readouterr().out
    assert 1 == len(made.lines)


def program(tmp_path: Path, body: str) -> str:
    return f"""
import sys
from proletto_otel.core import config
from proletto_otel.setup import logs as logs_setup
from proletto_otel.logs.api.loggers import logger
made, _ = config.load({{"log_dir": {str(tmp_path / "logs")!r}}}, {{}}, {{}})
logs_setup.install(made)
{body}
"""


def test_broken_pipe_hurts_nobody(tmp_path: Path) -> None:
    """A reader of standard output that goes away does not end the program."""
    body = """
for n in range(2000):
    logger.info("line", n=n)
open(sys.argv[1], "w").write("done")
"""
    done = tmp_path / "done"
    command = [sys.executable, "-c", program(tmp_path, body), str(done)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.read(100)
    run.stdout.close()
    errors = run.stderr.read()
    run.stderr.close()
    run.wait(PATIENCE_S)

    assert "done" == done.read_text()
    assert b"Traceback" not in errors
    assert 2000 == len((tmp_path / "logs/proletto_structured.json").read_text().splitlines())


def test_terminal_gets_the_short_coloured_form(tmp_path: Path) -> None:
    """On a terminal a line is short and coloured."""
    ours, theirs = pty.openpty()
    body = 'logger.error("failed", order=7)'
    subprocess.run(
        [sys.executable, "-c", program(tmp_path, body)],
        stdout=theirs,
        timeout=PATIENCE_S,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)

    assert "\x1b[31mERROR" in shown
    assert "failed" in shown
    assert "order=7 [proletto]" in shown


def test_request_id_is_on_every_console_line(
    room: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """`LOG_FORMAT` need not name the request ID for the line to have it."""
    room()
    with context.background("req-9"):
        logger.info("event")

    assert capsys.readouterr().out.endswith("event request_id=req-9\n")


class _StreamToLogger(io.StringIO):
    """What Celery's workers put in the place of standard output: it makes records of lines."""

    def write(self, text: str) -> int:
        if text.strip():
            logging.getLogger("redirected").warning(text.rstrip())
        return len(text)


def test_stream_that_writes_into_the_log(
    room: Install, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines are printed on the process's own output, and none comes back as a second record."""
    made = room()
    monkeypatch.setattr(sys, "stdout", _StreamToLogger())
    logger.info("first")
    logger.info("second")
    logging.getLogger("redirected").warning("printed by the program")

    expected = ["first", "second", "printed by the program"]
    assert expected == [line[MESSAGE] for line in made.lines]
    printed = capfd.readouterr().out.splitlines()
    assert expected == [line.rpartition(" - ")[2] for line in printed]


def test_json_on_standard_output(room: Install, capsys: pytest.CaptureFixture[str]) -> None:
    """`PROLETTO_LOG_CONSOLE_FORMAT=json`: the lines of the structured file, for containers."""
    made = room(log_console_format="json")
    logger.info("order placed", order=7)
    logger.error("failed", exc_info=ValueError("boom"))

    printed = capsys.readouterr().out
    assert printed == made.text("_structured.json")
    assert 2 == len(printed.splitlines())


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_terminal_without_colours(
    room: Install, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """https://no-color.org and `TERM=dumb`: the short form, without escape sequences."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    room()
    logger.warning("in colour", n=1)
    assert "\x1b[" in terminal.getvalue()

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv(name, value)
    logger.warning("plain", n=1)
    assert "\x1b" not in terminal.getvalue()
    assert "WARNING  plain n=1 [proletto]" in terminal.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_our_warnings_are_seen_without_a_console(
    room: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `PROLETTO_LOG_CONSOLE=0` what we have to say goes to standard error."""
    made = room(log_console=False)
    log_rate_limited("test.console", "the disk is full")
    logging.getLogger("proletto_otel").info("all is well")

    printed = capsys.readouterr()
    assert "" == printed.out
    assert "proletto_otel - WARNING - the disk is full" in printed.err
    assert "all is well" not in printed.err
    assert [] == made.lines
